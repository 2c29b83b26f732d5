"""What a file of a quantized model says of itself beside its tensors: its layers, and the whole scheme of each."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

import torch
from torch import nn

from quant.embedding import QuantizedEmbedding
from quant.linear import QuantizedLinear
from quant.scheme import QuantScheme
from quant.scheme_json import parse, written
from quant.stored import stored_codes
from quant.switch import prepared_layers

VERSION = 1
METADATA_KEY = "quant"
QuantizedLayer = QuantizedLinear | QuantizedEmbedding


class LayerKind(StrEnum):
    """What a saved layer was made of."""

    LINEAR = "linear"
    EMBEDDING = "embedding"


@dataclass(frozen=True, slots=True, kw_only=True)
class SavedLayer:
    """What it takes to make the layer that its tensors are loaded into; `scheme` is a place in SavedModel.schemes."""

    kind: LayerKind
    scheme: int
    shape: tuple[int, ...]
    dtype: torch.dtype
    bias: bool = False
    padding_idx: int | None = None

    @classmethod
    def of(cls, layer: nn.Module, scheme: int) -> SavedLayer:
        """The description of a quantized layer, or of the float layer whose place it takes."""
        is_quantized = isinstance(layer, QuantizedLinear | QuantizedEmbedding)
        weight = stored_codes(layer) if is_quantized else layer.get_parameter("weight")
        is_linear = isinstance(layer, QuantizedLinear | nn.Linear)
        return cls(
            kind=LayerKind.LINEAR if is_linear else LayerKind.EMBEDDING,
            scheme=scheme,
            shape=tuple(weight.shape),
            dtype=layer.dtype if isinstance(layer, QuantizedLinear | QuantizedEmbedding) else weight.dtype,
            bias=getattr(layer, "bias", None) is not None,
            padding_idx=layer.padding_idx if isinstance(layer, QuantizedEmbedding | nn.Embedding) else None,
        )

    def made(self, scheme: QuantScheme) -> QuantizedLayer:
        """A layer of these shapes and dtypes, without values yet."""
        if self.kind is LayerKind.LINEAR:
            return QuantizedLinear.empty(self.shape, self.dtype, scheme, bias=self.bias)
        table = QuantizedEmbedding.empty(self.shape, self.dtype, scheme)
        table.padding_idx = self.padding_idx
        return table


@dataclass(frozen=True, slots=True, kw_only=True)
class SavedModel:
    """Layers by their qualified names ("" = the model itself is one), and how their tensors lie in the file.

    shared: a tensor that is not in the file -> the one it is the same as. order: a tensor written with its dimensions
    permuted -> the permutation, so that the strides of a transposed weight survive (native products depend on them).
    """

    version: int
    schemes: tuple[QuantScheme, ...]
    layers: dict[str, SavedLayer]
    shared: dict[str, str]
    order: dict[str, tuple[int, ...]]

    def __post_init__(self) -> None:
        for name, layer in self.layers.items():
            if not 0 <= layer.scheme < len(self.schemes):
                raise ValueError(f"{name} has scheme {layer.scheme} of {len(self.schemes)}")

    def text(self) -> str:
        """As JSON."""
        return written(self)

    @classmethod
    def parse(cls, text: str) -> SavedModel:
        """The description that `text` wrote. Raises ValueError for another version, and for what is not known here."""
        return parse(text, cls, VERSION)


def quantized_layers(model: nn.Module) -> dict[str, QuantizedLayer]:
    """Every quantized layer by its first name. Raises ValueError for a layer that is prepared only, and for none."""
    prepared = next(prepared_layers(model), None)
    if prepared is not None:
        raise ValueError(f"{prepared[0] or 'the model'} is prepared and not yet quantized; convert(model) first")
    kinds = (QuantizedLinear, QuantizedEmbedding)
    found = {name: part for name, part in model.named_modules() if isinstance(part, kinds)}
    if not found:
        raise ValueError("the model holds no quantized layer; call quantize_(model, scheme), or prepare and convert it")
    return found
