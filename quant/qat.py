"""QAT: prepare makes layers that train through fake quantization, convert stores what they have learned."""

from __future__ import annotations

from torch import nn

from quant.embedding import FakeQuantizedEmbedding, check_supported
from quant.linear import FakeQuantizedLinear
from quant.scheme import QuantScheme
from quant.swap import FilterFn, swap_modules
from quant.tied import StoredOnce


def prepare(model: nn.Module, scheme: QuantScheme, filter_fn: FilterFn | None = None) -> nn.Module:
    """Replace every nn.Linear and nn.Embedding of `model` in place by its fake-quantized form, and return the model.

    The new layers hold the same Parameters, so an optimizer made before goes on working. A model that is itself such a
    layer is returned as the new layer. Raises ValueError when nothing was chosen.
    """

    def replace(module: nn.Module) -> nn.Module | None:
        if type(module) is nn.Linear:
            return FakeQuantizedLinear(module.weight, module.bias, scheme)
        if type(module) is nn.Embedding:
            check_supported(module)
            return FakeQuantizedEmbedding(module.weight, module.padding_idx, scheme)
        return None

    model, count = swap_modules(model, replace, filter_fn)
    if count == 0:
        raise ValueError("prepare found no nn.Linear or nn.Embedding that filter_fn lets through; nothing was prepared")
    return model


def convert(model: nn.Module) -> nn.Module:
    """Replace every prepared layer of `model` in place by the quantized layer it stands for, and return the model.

    Everything is taken from what `prepare` stored. Layers that share a Parameter and its scheme share the codes too.
    Raises ValueError for a model without prepared layers, and for an activation whose range was never observed.
    """
    once = StoredOnce()

    def replace(module: nn.Module) -> nn.Module | None:
        if not isinstance(module, FakeQuantizedLinear | FakeQuantizedEmbedding):
            return None
        shared = module.weight_range is None
        return module.converted(once.of(module.weight, module.scheme.weight) if shared else None)

    model, count = swap_modules(model, replace)
    if count == 0:
        raise ValueError("convert found no layer that prepare made; call prepare(model, scheme) before convert(model)")
    return model
