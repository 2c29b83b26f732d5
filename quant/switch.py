"""Fake quantization switched off and on at run time: off, a prepared layer is the float layer it stands for."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from torch import nn

from quant.embedding import FakeQuantizedEmbedding
from quant.linear import FakeQuantizedLinear
from quant.subclass.layers import is_wrapped

SWITCH: Final = "fake_quantization"  # the attribute that every prepared layer looks at


def disable_fake_quantization(model: nn.Module) -> nn.Module:
    """Outputs and gradients of every prepared layer are those of nn.Linear and nn.Embedding; ranges are still observed.

    What convert makes does not depend on the switch. Raises ValueError for a model without prepared layers.
    """
    return _switch(model, on=False)


def enable_fake_quantization(model: nn.Module) -> nn.Module:
    """Undo disable_fake_quantization."""
    return _switch(model, on=True)


def _switch(model: nn.Module, *, on: bool) -> nn.Module:
    layers = dict(prepared_layers(model))
    if not layers:
        raise ValueError("the model holds no layer that prepare made; call prepare(model, scheme) first")
    for layer in layers.values():
        vars(layer)[SWITCH] = on
    return model


def prepared_layers(model: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    """The layers that prepare made, by either mechanism, each with its first name."""
    for name, part in model.named_modules():
        if isinstance(part, FakeQuantizedLinear | FakeQuantizedEmbedding) or is_wrapped(part):
            yield name, part


@contextmanager
def computing_in_float(model: nn.Module) -> Iterator[None]:
    """Without fake quantization; every layer's own switch is put back, whatever happens."""
    was = {layer: bool(getattr(layer, SWITCH)) for _, layer in prepared_layers(model)}
    for layer in was:
        vars(layer)[SWITCH] = False
    try:
        yield
    finally:
        for layer, on in was.items():
            vars(layer)[SWITCH] = on
