"""lines(stage) = what a scheme does to one element, or one group, written as statements of torch.

Each statement assigns a name that the statements before it, or the operands of the stage, have defined: x, scale,
zero_point, codes. Raises ValueError where a scheme's arithmetic is more than a few such statements.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import torch

from quant import Mapping, ZeroPointDomain
from quant import decisions as d
from quant.codes import CLAMPING, storage_dtype
from quant.computed import code_dtype_of, qparam_dtype_of, rescale_dtype_of
from quant.dequantize import operand_dtype_of
from quant.mapping import Extent
from quant.scheme import ResolvedScheme

_ROUNDED: Final = {
    d.CodeRounding.HALF_EVEN: "t.round()",
    d.CodeRounding.HALF_AWAY: "t.trunc() + (2 * t.frac()).trunc()",
    d.CodeRounding.HALF_AWAY_BY_ADDING: "(t + torch.full_like(t, 0.5).copysign(t)).trunc()",
    d.CodeRounding.HALF_UP: "(t + 0.5).floor()",
    d.CodeRounding.TRUNCATE: "t.trunc()",
}
OPERANDS: Final = {
    "scale": ("x",),
    "codes": ("x", "scale", "zero_point"),
    "dequantized": ("codes", "scale", "zero_point"),
}


def lines(stage: str, scheme: ResolvedScheme, dtype: torch.dtype) -> tuple[str, ...]:
    """Statements that end in one that assigns `result`, for an input or an output of `dtype`."""
    if stage not in OPERANDS or scheme.zero_point_domain is ZeroPointDomain.FLOAT:
        raise ValueError(f"{stage} in the {scheme.zero_point_domain} domain is more than a few statements of torch")
    if stage == "scale":
        return tuple(_scale(scheme, dtype))
    return tuple(_codes(scheme, dtype) if stage == "codes" else _dequantized(scheme, dtype))


def _scale(scheme: ResolvedScheme, dtype: torch.dtype) -> Iterator[str]:
    rules, span = scheme.rules, float(scheme.qmax - scheme.qmin)
    if scheme.global_scale_dtype is not None or scheme.scale_dtype is torch.float8_e4m3fn:
        raise ValueError("a scale of eight bits, or on two levels, is more than a few statements")
    if scheme.extent is not Extent.MIN_MAX or scheme.mapping not in (Mapping.SYMMETRIC, Mapping.ASYMMETRIC):
        raise ValueError(f"the scale of a {scheme.mapping} range of {scheme.extent} is more than a few statements")
    yield f"low, high = x.amin().to({qparam_dtype_of(scheme, dtype)}), x.amax().to({qparam_dtype_of(scheme, dtype)})"
    if scheme.preserve_zero:
        yield "low, high = low.clamp(max=0), high.clamp(min=0)"
    eps = f".clamp(min=torch.tensor({scheme.eps!r}, dtype=torch.float64).to(low.dtype))"
    at_range = eps if rules.eps_target is d.EpsTarget.RANGE else ""
    if scheme.mapping is Mapping.ASYMMETRIC:
        yield f"reach = (high - low){at_range}"
        divisor = span
    else:
        divisor = {
            d.SymmetricScale.HALF_SPAN: span / 2,
            d.SymmetricScale.DOUBLED_OVER_SPAN: span,
            d.SymmetricScale.HALF_LEVELS: (span + 1) / 2,
            d.SymmetricScale.QMAX: float(scheme.qmax),
        }.get(rules.symmetric_scale, float(abs(scheme.qmin)))
        doubled = " * 2" if rules.symmetric_scale is d.SymmetricScale.DOUBLED_OVER_SPAN else ""
        yield f"reach = torch.maximum(-low, high){at_range}{doubled}"
    if rules.scalar_division is d.ScalarDivision.RECIPROCAL_MULTIPLY:
        double = qparam_dtype_of(scheme, dtype) is torch.float64
        wide = torch.float64 if double else torch.float32
        yield f"result = (reach.to({wide}) * (1 / torch.tensor({divisor!r}, dtype={wide}))).to(reach.dtype)"
    else:
        yield f"result = reach / {divisor!r}"
    if rules.eps_target is d.EpsTarget.SCALE and rules.eps_order is d.EpsOrder.BEFORE_STORAGE:
        yield f"result = result{eps}"
    yield f"result = result.to({scheme.scale_dtype})"
    if rules.eps_order is d.EpsOrder.AFTER_STORAGE:
        yield f"result = result{eps.replace('low', 'result')}"


def _codes(scheme: ResolvedScheme, dtype: torch.dtype) -> Iterator[str]:
    rules, wide = scheme.rules, code_dtype_of(scheme, dtype)
    if rules.zero_point_add is d.ZeroPointAdd.BEFORE_ROUND_FMA or rules.code_clamp is d.CodeClamp.INPUT_LIMITS:
        raise ValueError("a fused multiply-add and a limited input are more than a few statements of torch")
    if rules.code_division is d.CodeDivision.DIVIDE:
        yield f"t = x.to({wide}) / scale.to({wide})"
    elif rules.reciprocal_dtype is d.ReciprocalDtype.CODE:
        yield f"t = x.to({wide}) * (1 / scale.to({wide}))"
    else:
        yield f"t = x.to({wide}) * (1 / scale).to({wide})"
    added = "" if scheme.zero_point_domain is ZeroPointDomain.NONE else " + zero_point"
    if rules.zero_point_add_dtype is not d.ZeroPointAddDtype.PROMOTED and added:
        narrow = rules.zero_point_add_dtype is d.ZeroPointAddDtype.CODE
        sum_dtype = wide if narrow else torch.float32
        added = f".to({sum_dtype}) + zero_point.to({sum_dtype})"
    if rules.zero_point_add is not d.ZeroPointAdd.AFTER_ROUND and added:
        yield f"t = t{added}"
        added = ""
    yield f"t = {_ROUNDED[rules.code_rounding]}"
    if added:
        yield f"t = t{added}"
    if rules.code_clamp in CLAMPING:
        yield f"t = t.clamp({scheme.code_min}, {scheme.code_max})"
    yield f"result = t.to({storage_dtype(scheme.code_min, scheme.code_max)})"


def _dequantized(scheme: ResolvedScheme, dtype: torch.dtype) -> Iterator[str]:
    chosen = {
        d.SubtractDtype.INT32: torch.int32,
        d.SubtractDtype.FLOAT32: torch.float32,
        d.SubtractDtype.OUTPUT: dtype,
    }.get(scheme.rules.subtract_dtype, scheme.scale_dtype)
    absent = scheme.zero_point_domain is ZeroPointDomain.NONE
    yield f"t = codes.to({chosen})" + ("" if absent else f" - zero_point.to({chosen})")
    if chosen is torch.int32:
        yield f"t = t.to({dtype})"
    wide = rescale_dtype_of(scheme, dtype)
    yield f"result = (t.to({wide}) * scale.to({wide})).to({operand_dtype_of(scheme, dtype)})"
