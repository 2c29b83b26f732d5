"""PTQ: quantize_ replaces every Linear and Embedding by the layer that stores its codes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from torch import nn

from quant.calibrate import run_observed
from quant.embedding import QuantizedEmbedding, check_supported
from quant.frozen import has_frozen_activation
from quant.linear import QuantizedLinear
from quant.observers import Observer
from quant.scheme import QuantScheme
from quant.subclass.layers import is_wrapped
from quant.swap import FilterFn, swap_modules
from quant.tied import StoredOnce


def quantize_(
    model: nn.Module, scheme: QuantScheme, filter_fn: FilterFn | None = None, *, batches: Iterable[object] = ()
) -> nn.Module:
    """Quantize every nn.Linear and nn.Embedding of `model` in place, and return it.

    A model that is itself such a layer is returned as the new layer. An Embedding has no activation to quantize, so
    only the scheme's weight part applies to it. `filter_fn(module, qualified_name)` chooses among them. Layers that
    share a Parameter share its codes. `batches` are run through the float model, each a mapping, a tuple or list, or
    its one argument, where the activation's range is observed; a learned one is the least and greatest they hold.
    Raises ValueError when nothing was chosen, and what choose_qparams raises, before any layer is replaced.
    """
    observers = _observed(model, scheme, filter_fn, batches) if has_frozen_activation(scheme) else {}
    once = StoredOnce()

    def replace(module: nn.Module) -> nn.Module | None:
        if is_wrapped(module):
            return None
        if type(module) is nn.Linear:
            observer = observers.get(module)
            activation = None if observer is None else observer.qparams(module.weight.detach())
            return QuantizedLinear(once.of(module.weight, scheme), module.bias, scheme, activation)
        if type(module) is nn.Embedding:
            check_supported(module)
            return QuantizedEmbedding(once.of(module.weight, scheme), module.padding_idx, scheme)
        return None

    model, count = swap_modules(model, replace, filter_fn)
    if count == 0:
        raise ValueError(
            "quantize_ found no nn.Linear or nn.Embedding that filter_fn lets through; nothing was quantized"
        )
    return model


def _observed(
    model: nn.Module, scheme: QuantScheme, filter_fn: FilterFn | None, batches: Iterable[object]
) -> Mapping[nn.Module, Observer]:
    """What the batches show of the input of every Linear that is going to be quantized."""
    assert scheme.activation is not None
    observers: dict[nn.Module, Observer] = {
        module: Observer(scheme.activation, module.weight)
        for name, module in model.named_modules(remove_duplicate=False)
        if type(module) is nn.Linear and (filter_fn is None or filter_fn(module, name))
    }
    run_observed(model, observers, batches)
    return observers
