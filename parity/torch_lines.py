"""lines(stage) = what a scheme does to one element, or one group, written as statements of torch.

Each statement assigns a name that the statements before it, or the operands of the stage, have defined: x, scale,
zero_point, codes, grad. Raises ValueError where a scheme's arithmetic is more than a few such statements.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import torch

from parity.range_lines import scale_lines, zero_point_lines
from quant import ZeroPointDomain
from quant import decisions as d
from quant.codes import CLAMPING, storage_dtype
from quant.computed import (
    code_dtype_of,
    origin_dtype_of,
    quotient_dtype_of,
    read_scale_dtype_of,
    rescale_dtype_of,
)
from quant.dequantize import operand_dtype_of
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
    "zero_point": ("x", "scale"),
    "codes": ("x", "scale", "zero_point"),
    "dequantized": ("codes", "scale", "zero_point"),
    "grad": ("x", "scale", "zero_point", "grad"),
}


def lines(stage: str, scheme: ResolvedScheme, dtype: torch.dtype) -> tuple[str, ...]:
    """Statements that end in one that assigns `result`, for an input or an output of `dtype`.

    stage: scale, zero_point, codes, dequantized, or grad = what reaches x of `grad`, that of the value read back.
    """
    made = {
        "scale": scale_lines,
        "zero_point": zero_point_lines,
        "codes": _codes,
        "dequantized": _placed if scheme.zero_point_domain is ZeroPointDomain.FLOAT else _rescaled,
        "grad": _gradient,
    }
    if stage not in made:
        raise ValueError(f"{stage} is more than a few statements of torch")
    return tuple(made[stage](scheme, dtype))


def _codes(scheme: ResolvedScheme, dtype: torch.dtype) -> Iterator[str]:
    rules = scheme.rules
    yield from _unclamped(scheme, dtype)
    if rules.code_clamp in CLAMPING:
        yield f"t = t.clamp({scheme.code_min}, {scheme.code_max})"
    yield f"result = t.to({storage_dtype(scheme.code_min, scheme.code_max)})"


def _unclamped(scheme: ResolvedScheme, dtype: torch.dtype, *, rounded: bool = True) -> Iterator[str]:
    """t = the code before its clamp, or before its rounding as well."""
    rules = scheme.rules
    if rules.zero_point_add is d.ZeroPointAdd.BEFORE_ROUND_FMA or rules.code_clamp is d.CodeClamp.INPUT_LIMITS:
        raise ValueError("a fused multiply-add and a limited input are more than a few statements of torch")
    in_float_domain = scheme.zero_point_domain is ZeroPointDomain.FLOAT
    yield from _origin(scheme, dtype) if in_float_domain else ()
    wide = quotient_dtype_of(scheme, dtype)
    divides = (
        rules.float_code_division is d.FloatCodeDivision.DIVIDE
        if in_float_domain
        else rules.code_division is d.CodeDivision.DIVIDE
    )
    dividend = f"(x.to({wide}) - origin)" if in_float_domain else f"x.to({wide})"
    if divides:
        yield f"t = {dividend} / scale.to({wide})"
    elif rules.reciprocal_dtype is d.ReciprocalDtype.CODE:
        yield f"t = {dividend} * (1 / scale.to({wide}))"
    else:
        yield f"t = {dividend} * (1 / scale).to({wide})"
    added = "" if scheme.zero_point_domain is not ZeroPointDomain.INT else " + zero_point"
    if rules.zero_point_add_dtype is not d.ZeroPointAddDtype.PROMOTED and added:
        narrow = rules.zero_point_add_dtype is d.ZeroPointAddDtype.CODE
        sum_dtype = wide if narrow else torch.float32
        added = f".to({sum_dtype}) + zero_point.to({sum_dtype})"
    first = rules.zero_point_add is not d.ZeroPointAdd.AFTER_ROUND
    if first and added:
        yield f"t = t{added}"
    if rounded:
        yield f"t = {_ROUNDED[rules.code_rounding]}"
    if added and not first:
        yield f"t = t{added}"


def _origin(scheme: ResolvedScheme, dtype: torch.dtype) -> Iterator[str]:
    """The value whose code is 0."""
    if scheme.rules.float_code_origin is d.FloatCodeOrigin.MIN:
        raise ValueError("an origin at a group's minimum is in no stage")
    own, wide = origin_dtype_of(scheme, dtype), quotient_dtype_of(scheme, dtype)
    promoted = scheme.rules.code_dtype is d.CodeDtype.PROMOTED
    read = read_scale_dtype_of(scheme) if promoted else code_dtype_of(scheme, dtype)
    yield f"origin = (zero_point.to({own}) - (scale.to({read}) * {scheme.midpoint!r}).to({own})).to({wide})"


def _rescaled(scheme: ResolvedScheme, dtype: torch.dtype) -> Iterator[str]:
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


def _placed(scheme: ResolvedScheme, dtype: torch.dtype) -> Iterator[str]:
    """(codes - mid) * scale + zero_point, a value."""
    rules, wide = scheme.rules, rescale_dtype_of(scheme, dtype)
    yield f"t = (codes.float() - {scheme.midpoint!r}).to({dtype})"
    if rules.rescale_fusion is d.RescaleFusion.TWO_ROUNDINGS:
        yield f"t = t.to({wide}) * scale.to({wide})"
        if rules.rescale_intermediate is d.RescaleIntermediate.OUTPUT:
            yield f"t = t.to({dtype})"
        yield "t = t + zero_point"
    elif rules.rescale_fusion is d.RescaleFusion.FMA:
        yield "t = (t.double() * scale.double() + zero_point.double()).float()"
    else:
        yield f"offset = (zero_point.double() - {scheme.midpoint!r} * scale.double()).float()"
        yield f"t = ((t.float() + {scheme.midpoint!r}).double() * scale.double() + offset.double()).float()"
    yield f"result = t.to({operand_dtype_of(scheme, dtype)})"


def _gradient(scheme: ResolvedScheme, dtype: torch.dtype) -> Iterator[str]:
    rules, wide = scheme.rules, rescale_dtype_of(scheme, dtype)
    in_float_domain = scheme.zero_point_domain is ZeroPointDomain.FLOAT
    if rules.gradient_mask in (d.GradientMask.NONE, d.GradientMask.ALL):
        yield f"inside = torch.tensor([{rules.gradient_mask is d.GradientMask.NONE}])"
    else:
        yield from _unclamped(scheme, dtype, rounded=rules.gradient_mask is d.GradientMask.ROUNDED)
        yield f"inside = (t >= {scheme.code_min}) & (t <= {scheme.code_max})"
    rule = rules.float_gradient_product if in_float_domain else rules.gradient_product
    if rule is d.GradientProduct.IDENTITY:
        yield f"result = torch.where(inside, grad.to({dtype}), 0)"
        return
    quotient = quotient_dtype_of(scheme, dtype)
    yield f"scaled = (grad.to({wide}) * scale.to({wide})).to({dtype})"
    yield f"scaled = torch.where(inside, scaled, 0).to({quotient})"
    if rule is not d.GradientProduct.SCALE_TIMES_RECIPROCAL:
        yield f"result = (scaled / scale.to({quotient})).to({dtype})"
    elif rules.reciprocal_dtype is d.ReciprocalDtype.CODE:
        yield f"result = (scaled * (1 / scale.to({quotient}))).to({dtype})"
    else:
        yield f"result = (scaled * (1 / scale).to({quotient})).to({dtype})"
