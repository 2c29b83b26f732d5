"""Fake quantization switched off and on at run time: off, a prepared layer is the float layer it stands for."""

from __future__ import annotations

from torch import nn

from quant.embedding import FakeQuantizedEmbedding
from quant.linear import FakeQuantizedLinear
from quant.subclass.layers import is_wrapped


def disable_fake_quantization(model: nn.Module) -> nn.Module:
    """Outputs and gradients of every prepared layer are those of nn.Linear and nn.Embedding; ranges are still observed.

    What convert makes does not depend on the switch. Raises ValueError for a model without prepared layers.
    """
    return _switch(model, on=False)


def enable_fake_quantization(model: nn.Module) -> nn.Module:
    """Undo disable_fake_quantization."""
    return _switch(model, on=True)


def _switch(model: nn.Module, *, on: bool) -> nn.Module:
    prepared = (FakeQuantizedLinear, FakeQuantizedEmbedding)
    layers = [part for part in model.modules() if isinstance(part, prepared) or is_wrapped(part)]
    if not layers:
        raise ValueError("the model holds no layer that prepare made; call prepare(model, scheme) first")
    for layer in layers:
        vars(layer)["fake_quantization"] = on
    return model
