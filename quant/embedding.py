"""Embeddings, quantized and prepared: the dequantized table, then a lookup, which moves no bit."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from quant.decisions import Accumulate
from quant.fake import Operand
from quant.integers import cast_to_integer
from quant.linear import LayerStages
from quant.lookup import lookup
from quant.ranges import ranged_operand, weight_range
from quant.scheme import QuantScheme
from quant.stored import StoredWeight, check_packing


class QuantizedEmbedding(nn.Module):
    """output = dequantize(weight)[indices], from stored integer codes; only the scheme's weight part is used."""

    def __init__(self, stored: StoredWeight, padding_idx: int | None, scheme: QuantScheme) -> None:
        super().__init__()
        self.scheme = scheme
        self.dtype = stored.dtype
        self.padding_idx = padding_idx
        stored.register(self)

    @classmethod
    def from_float(cls, weight: Tensor, padding_idx: int | None, scheme: QuantScheme) -> QuantizedEmbedding:
        """The embedding that PTQ makes of a float table [entries, width]; raises what choose_qparams raises."""
        return cls(StoredWeight.of(weight, scheme.weight, scheme.packing), padding_idx, scheme)

    @classmethod
    def empty(cls, shape: tuple[int, ...], dtype: torch.dtype, scheme: QuantScheme) -> QuantizedEmbedding:
        """An embedding of the right shapes and dtypes to load a state dict into."""
        return cls(StoredWeight.empty(shape, dtype, scheme.weight, scheme.packing), None, scheme)

    def stages(self, indices: Tensor) -> LayerStages:
        """Every intermediate of forward(indices)."""
        weight = StoredWeight.read(self, self.scheme.weight, self.dtype, self.scheme.packing).operand()
        return lookup_stages(indices, weight, self.scheme, self.dtype, self.padding_idx)

    def forward(self, indices: Tensor) -> Tensor:
        return self.stages(indices).output


class FakeQuantizedEmbedding(nn.Embedding):
    """QuantizedEmbedding's output from a float table that still trains, with straight-through gradients.

    While `fake_quantization` is False it is the nn.Embedding whose place it takes.
    """

    fake_quantization = True

    def __init__(self, weight: Tensor, padding_idx: int | None, scheme: QuantScheme) -> None:
        nn.Module.__init__(self)
        self.num_embeddings, self.embedding_dim = weight.shape[-2:]
        self.weight = weight
        self.padding_idx, self.max_norm, self.norm_type = padding_idx, None, 2.0
        self.scale_grad_by_freq = self.sparse = False
        check_packing(weight, scheme)
        self.scheme = scheme
        self.weight_range = weight_range(weight, scheme)

    def stages(self, indices: Tensor) -> LayerStages:
        """Every intermediate of forward(indices)."""
        weight = ranged_operand(self.weight, self.scheme.weight, self.weight_range)
        return lookup_stages(indices, weight, self.scheme, self.weight.dtype, self.padding_idx)

    def forward(self, input: Tensor) -> Tensor:
        return self.stages(input).output if self.fake_quantization else super().forward(input)

    def converted(self, stored: StoredWeight | None = None) -> QuantizedEmbedding:
        """The embedding that stores this one's codes; `stored` are those of another layer with the same weight."""
        if stored is None:
            weight = self.weight.detach()
            learned = None if self.weight_range is None else self.weight_range.qparams(weight)
            stored = StoredWeight.of(weight, self.scheme.weight, self.scheme.packing, learned)
        return QuantizedEmbedding(stored, self.padding_idx, self.scheme)


def lookup_stages(
    indices: Tensor, weight: Operand, scheme: QuantScheme, dtype: torch.dtype, padding_idx: int | None
) -> LayerStages:
    """Rows of the dequantized table, in the scheme's output dtype; under accumulate exact their gradient is exact too.

    indices of any shape into a table [entries, width]; or [S, ...] into stacked tables [S, entries, width].
    """
    table = weight.dequantized
    if table.dim() == 3:
        width = table.shape[-1]
        flat = indices.reshape(len(table), -1, 1).expand(-1, -1, width)
        output = table.gather(1, flat).reshape(*indices.shape, width)
    elif scheme.product.accumulate == Accumulate.EXACT:
        output = lookup(table, indices, padding_idx)
    else:
        output = F.embedding(indices, table, padding_idx)
    wanted = scheme.resolved_output_dtype(dtype)
    output = output.to(wanted) if wanted.is_floating_point else cast_to_integer(output, wanted)
    return LayerStages(input=None, weight=weight, output=output)


def check_supported(module: nn.Embedding) -> None:
    """Renormalizing, sparse and frequency-scaled embeddings are refused rather than silently changed."""
    for option in ("max_norm", "sparse", "scale_grad_by_freq"):
        if getattr(module, option):
            raise ValueError(
                f"the embedding has {option}={getattr(module, option)}, which quantization does not keep; "
                f"make it without {option}, or leave it out with filter_fn"
            )
