"""Calibration: batches run through a float model, so that static activations get their ranges before they are used."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import ExitStack
from functools import partial
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from quant.eval_mode import evaluating
from quant.learned import LearnedQParams
from quant.linear import FakeQuantizedLinear
from quant.observers import Observer
from quant.switch import computing_in_float

Layer = TypeVar("Layer", bound=nn.Module)


def calibrate(model: nn.Module, batches: Iterable[object]) -> nn.Module:
    """Observe, from nothing, the inputs that the prepared layers of `model` meet in `batches`; return the model.

    A batch is a mapping (model(**batch)), a tuple or list (model(*batch)) or the model's one argument. The model runs
    in eval mode, without gradients and without fake quantization; modes are put back, whatever happens. A learned
    activation starts from the least and greatest that was met. Raises ValueError when no layer has a range to observe,
    and for a layer that no batch reached.
    """
    layers = [
        part for part in model.modules() if isinstance(part, FakeQuantizedLinear) and part.activation_range is not None
    ]
    if not layers:
        raise ValueError("no prepared layer's activation is observed or learned; there is nothing to calibrate")
    observers = {layer: _observer(layer) for layer in layers}
    with computing_in_float(model):
        run_observed(model, observers, batches)
    for layer, observer in observers.items():
        if isinstance(layer.activation_range, LearnedQParams):
            layer.activation_range.start(observer.low, observer.high, layer.weight.dtype)
    return model


def run_observed(model: nn.Module, observers: Mapping[Layer, Observer], batches: Iterable[object]) -> None:
    """Run the batches in eval mode and without gradients, each module's first argument told to its observer.

    Raises ValueError for a module that no batch reached.
    """
    with ExitStack() as stack:
        stack.enter_context(evaluating(model))
        for module, observer in observers.items():
            handle = module.register_forward_pre_hook(partial(_observe, observer), with_kwargs=True)
            stack.callback(handle.remove)
        stack.enter_context(torch.no_grad())
        for batch in batches:
            if isinstance(batch, Mapping):
                model(**batch)
            elif isinstance(batch, tuple | list):
                model(*batch)
            else:
                model(batch)
    names = {module: name or "the layer" for name, module in model.named_modules()}
    unmet = [names[module] for module, observer in observers.items() if not int(observer.batches)]
    if unmet:
        raise ValueError(
            f"no batch reached {', '.join(unmet)}, whose input is to be observed; give quantize_ or calibrate batches "
            "that reach every layer"
        )


def _observer(layer: FakeQuantizedLinear) -> Observer:
    """The layer's own observer, emptied; or a new one where its qparams are learned."""
    activation = layer.scheme.activation
    assert activation is not None
    if isinstance(layer.activation_range, Observer):
        layer.activation_range.reset(layer.weight)
        return layer.activation_range
    return Observer(activation, layer.weight)


def _observe(observer: Observer, module: nn.Module, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None:
    x: Tensor = args[0] if args else kwargs["input"]
    observer.observe(x)
