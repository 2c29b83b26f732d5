"""torchao's PARQ on a layer: its optimizer's steps, its converter, and what both leave behind. Imports torchao."""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import SGD

from parity.backends.torchao_gaps import Wanted
from parity.backends.torchao_package import quiet_import
from parity.backends.torchao_stages import drawn_trace, stored_trace
from parity.lanes import Flow
from parity.trace import Trace
from parity.training import LEARNING_RATE, float_layer_like, train
from quant import PerGroup

with quiet_import():
    from torchao.prototype.parq.optim import ProxHardQuant, QuantOptimizer
    from torchao.prototype.parq.quant.config_torchao import StretchedIntxWeightConfig
    from torchao.prototype.parq.quant.uniform_torchao import StretchedUnifTorchaoQuantizer
    from torchao.quantization import quantize_
    from torchao.quantization.granularity import PerAxis as TorchaoPerAxis
    from torchao.quantization.granularity import PerGroup as TorchaoPerGroup


def parq_trace(layer: nn.Module, x: Tensor, wanted: Wanted, steps: int) -> Trace:
    """The stages of one flow; the layer keeps its weight."""
    model = nn.Sequential(copy.deepcopy(layer))
    if wanted.flow is Flow.PTQ and not steps:
        return _stored(_quantized(model, wanted), x, wanted)
    quantizer = StretchedUnifTorchaoQuantizer(wanted.weight.bits, eps=wanted.weight.eps)
    optimizer = _trained(model, x, wanted, quantizer, steps)
    if wanted.flow is Flow.QAT_CONVERT:
        optimizer.torchao_convert(model, weight_only=True)
        return _stored(model[0], x, wanted)
    weight: Any = model[0].weight
    drawn = weight.detach().clone()
    optimizer.restore_latent_params()
    if wanted.flow is Flow.PTQ:
        return _stored(_quantized(model, wanted), x, wanted)
    latent = weight.detach().clone()
    with torch.no_grad():
        weight.copy_(drawn)
        return drawn_trace(model.eval()[0], x, latent, quantizer, wanted)


def parq_trained(layer: nn.Module, x: Tensor, wanted: Wanted, steps: int) -> nn.Module:
    """A float layer with the latent weight: what is drawn to the grid, not what the steps left there."""
    model = nn.Sequential(copy.deepcopy(layer))
    quantizer = StretchedUnifTorchaoQuantizer(wanted.weight.bits, eps=wanted.weight.eps)
    _trained(model, x, wanted, quantizer, steps).restore_latent_params()
    return float_layer_like(layer, model[0])


def _trained(model: nn.Sequential, x: Tensor, wanted: Wanted, quantizer: Any, steps: int) -> Any:
    """QuantOptimizer after one step without gradients, which draws the weights, and `steps` with drawn ones."""
    weight: Any = model[0].weight
    group: dict[str, Any] = {"params": [weight], "quant_bits": wanted.weight.bits}
    if isinstance(wanted.weight.granularity, PerGroup):
        group["quant_block_size"] = wanted.group_size
    others = [p for p in model.parameters() if p is not weight]
    groups = [group, {"params": others}] if others else [group]
    base = SGD(groups, lr=LEARNING_RATE)
    optimizer = QuantOptimizer(base, quantizer, ProxHardQuant(), quant_period=1, quant_per_channel=True)
    weight.grad = torch.zeros_like(weight)
    optimizer.step()
    train(model, x, steps, lambda layer: optimizer.step())
    return optimizer


def _quantized(model: nn.Sequential, wanted: Wanted) -> nn.Module:
    """The layer that quantize_ makes of the model's, with PARQ's own config."""
    weight = wanted.weight
    grouped = isinstance(weight.granularity, PerGroup)
    config = StretchedIntxWeightConfig(
        granularity=TorchaoPerGroup(wanted.group_size) if grouped else TorchaoPerAxis(0),
        b=weight.bits,
        quant_min=weight.qmin,
        quant_max=weight.qmax,
        activation_quantization=None if wanted.activation is None else "int8_asym_per_token",
    )
    quantize_(model, config, filter_fn=lambda module, name: isinstance(module, nn.Linear | nn.Embedding))
    return model[0]


def _stored(module: nn.Module, x: Tensor, wanted: Wanted) -> Trace:
    with torch.no_grad():
        return stored_trace(module, x, wanted)
