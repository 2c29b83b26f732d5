"""A layer's stages of the engine under their names, as a trace."""

from __future__ import annotations

import torch

from parity.trace import Stage, Trace
from quant.computed import computed_dtypes
from quant.fake import Operand
from quant.linear import LayerStages


def trace_of(stages: LayerStages, dtype: torch.dtype) -> Trace:
    """A layer's stages under their names, each with the dtype it was computed in; `dtype` is the float weight's."""
    found: list[Stage] = []
    if stages.input is not None:
        found += operand_stages("input", stages.input, dtype)
    found += operand_stages("weight", stages.weight, dtype)
    found.append(Stage(name="output", tensor=stages.output, computed=stages.output.dtype))
    return Trace(found)


def operand_stages(side: str, operand: Operand, dtype: torch.dtype) -> list[Stage]:
    """The stages of "input", "weight" or "output"; what a quantized output stands for is the output."""
    qparams = operand.qparams
    computed = computed_dtypes(qparams.scheme, dtype)
    values = {
        "scale": qparams.effective_scale,
        "zero_point": qparams.zero_point,
        "codes": operand.codes,
        "packed": operand.packed,
        "dequantized": operand.dequantized,
    }
    return [
        Stage(
            name=f"{side}.{name}".replace("output.dequantized", "output"),
            tensor=value,
            computed=computed.get(name, value.dtype),
        )
        for name, value in values.items()
        if value is not None
    ]
