"""A third party's backend: torchao's two 8da4w, its PTQ config and its converted QAT quantizer, of 0.13 and of 0.18.

Where the two releases keep what a lane needs in different places, both places are read; nothing is imported from
parity's own torchao lanes, which read one release only.
"""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import Tensor, nn
from torchao.quantization import Int8DynamicActivationIntxWeightConfig, quantize_
from torchao.quantization.granularity import PerGroup
from torchao.quantization.qat import Int8DynActInt4WeightQATQuantizer
from torchao.quantization.quant_primitives import (
    MappingType,
    choose_qparams_affine,
    dequantize_affine,
    quantize_affine,
)
from torchao.quantization.utils import per_token_dynamic_quant

from parity.lanes import Flow, Lane
from parity.trace import Stage, Trace
from quant import QuantScheme

GROUP = 32


class Their8da4w:
    """int8 activations a token, int4 weights in groups of 32. What a scheme says beyond that is not asked here."""

    name = "their_8da4w"
    flows = (Flow.PTQ, Flow.QAT_CONVERT)

    def unrun(self, lane: Lane) -> str | None:
        return None if lane.device == "cpu" else f"this example runs on cpu, not on {lane.device}"

    def trace(self, lane: Lane, layer: nn.Module, x: Tensor, scheme: QuantScheme, steps: int = 0) -> Trace:
        with torch.no_grad():
            return _ptq(layer, x) if lane.flow is Flow.PTQ else _converted(layer, x)


def _ptq(layer: nn.Module, x: Tensor) -> Trace:
    model = nn.Sequential(copy.deepcopy(layer))
    config = Int8DynamicActivationIntxWeightConfig(weight_dtype=torch.int4, weight_granularity=PerGroup(GROUP))
    quantize_(model, config)
    weight: Any = model[0].weight
    if hasattr(weight, "original_weight_tensor"):  # 0.13: a subclass around a subclass
        activation = weight.input_quant_func(x, **weight.quant_kwargs)
        codes, scale, zero_point = activation.tensor_impl.get_plain()
        stages = _stages("input", scale, zero_point, codes, activation.dequantize())
        inner = weight.original_weight_tensor
        codes, scale, zero_point = inner.tensor_impl.get_plain()
        stages += _stages("weight", scale, zero_point, codes, inner.dequantize())
    else:  # 0.18: one subclass, which quantizes its activation in the model's dtype
        stages = _activation(x, None, torch.int8, None)
        stages += _stages("weight", weight.scale, weight.zero_point, weight.qdata, weight.dequantize())
    return _trace(stages, model[0](x))


def _converted(layer: nn.Module, x: Tensor) -> Trace:
    dtype = x.dtype
    quantizer = Int8DynActInt4WeightQATQuantizer(groupsize=GROUP, precision=dtype, scales_precision=dtype)
    module: Any = quantizer.convert(quantizer.prepare(nn.Sequential(copy.deepcopy(layer))))[0]
    block = (1, GROUP)
    read_back = dequantize_affine(
        module.weight, block, module.scales, module.zeros, torch.int8, -8, 7, output_dtype=dtype
    )
    fp32 = torch.float32
    stages = _activation(x, fp32, fp32, torch.finfo(fp32).eps)
    # What its forward multiplies is made by a function of its own: that it is what these qparams give is checked.
    seen = per_token_dynamic_quant(x, scale_dtype=fp32, zero_point_dtype=fp32, eps=torch.finfo(fp32).eps)
    assert torch.equal(stages[-1].tensor, seen)
    stages += _stages("weight", module.scales, module.zeros, module.weight, read_back)
    return _trace(stages, module(x))


def _activation(
    x: Tensor, scale_dtype: torch.dtype | None, zero_point_dtype: torch.dtype, eps: float | None
) -> list[Stage]:
    block = (1,) * (x.dim() - 1) + (x.shape[-1],)
    scale, zero_point = choose_qparams_affine(
        x, MappingType.ASYMMETRIC, block, torch.int8, -128, 127, eps, scale_dtype, zero_point_dtype
    )
    codes = quantize_affine(x, block, scale, zero_point, torch.int8, -128, 127)
    read_back = dequantize_affine(codes, block, scale, zero_point, torch.int8, -128, 127, output_dtype=x.dtype)
    return _stages("input", scale, zero_point, codes, read_back)


def _stages(side: str, scale: Tensor, zero_point: Tensor, codes: Tensor, read_back: Tensor) -> list[Stage]:
    shape = (*codes.shape[:-1], -1)
    tensors = {
        "scale": scale.reshape(shape),
        "zero_point": zero_point.reshape(shape).to(torch.int8),  # whole numbers, kept as floats by one of the two
        "codes": codes,
        "dequantized": read_back,
    }
    return [Stage(name=f"{side}.{name}", tensor=value, computed=read_back.dtype) for name, value in tensors.items()]


def _trace(stages: list[Stage], output: Tensor) -> Trace:
    return Trace([*stages, Stage(name="output", tensor=output, computed=output.dtype)])
