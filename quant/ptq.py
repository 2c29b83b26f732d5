"""PTQ: quantize_ replaces every Linear and Embedding by the layer that stores its codes."""

from __future__ import annotations

from torch import nn

from quant.embedding import QuantizedEmbedding, check_supported
from quant.linear import QuantizedLinear
from quant.scheme import QuantScheme
from quant.swap import FilterFn, swap_modules


def quantize_(model: nn.Module, scheme: QuantScheme, filter_fn: FilterFn | None = None) -> nn.Module:
    """Quantize every nn.Linear and nn.Embedding of `model` in place, and return it.

    A model that is itself such a layer is returned as the new layer. An Embedding has no activation to quantize, so
    only the scheme's weight part applies to it. `filter_fn(module, qualified_name)` chooses among them. Raises
    ValueError when nothing was chosen, and what choose_qparams raises, before any layer is replaced.
    """

    def replace(module: nn.Module) -> nn.Module | None:
        if type(module) is nn.Linear:
            return QuantizedLinear.from_float(module.weight.detach(), module.bias, scheme)
        if type(module) is nn.Embedding:
            check_supported(module)
            return QuantizedEmbedding.from_float(module.weight.detach(), module.padding_idx, scheme)
        return None

    model, count = swap_modules(model, replace, filter_fn)
    if count == 0:
        raise ValueError(
            "quantize_ found no nn.Linear or nn.Embedding that filter_fn lets through; nothing was quantized"
        )
    return model
