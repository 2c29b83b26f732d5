"""quantize: codes = clamp(round(x / scale) + zero_point, qmin, qmax), with every decision of that line declared."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from kernels.divide import divide, reciprocal
from kernels.fma import fma
from kernels.narrow import narrow
from kernels.rounding import half_away, half_away_by_adding, half_even, half_up, truncate
from quant import decisions as d
from quant.computed import code_dtype_of, origin_dtype_of, quotient_dtype_of
from quant.device import op
from quant.granularity import Groups, groups_of
from quant.mapping import ZeroPointDomain
from quant.qparams import QParams, cast_to_integer, replace_zero_scale
from quant.rules import Rules

CODE_ROUNDINGS = {
    d.CodeRounding.HALF_EVEN: half_even,
    d.CodeRounding.HALF_AWAY: half_away,
    d.CodeRounding.HALF_AWAY_BY_ADDING: half_away_by_adding,
    d.CodeRounding.HALF_UP: half_up,
    d.CodeRounding.TRUNCATE: truncate,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Quantized:
    """Codes of the input's shape with the qparams that give them their meaning.

    Stored codes are integers (int8 or uint8 up to 8 bits, int16 or int32 beyond); rules that keep float codes in fake
    quantization hold them here in the dtype they were computed in.
    """

    codes: Tensor
    qparams: QParams


def quantize(x: Tensor, qparams: QParams) -> Quantized:
    """codes = clamp(round(x / scale) + zero_point, qmin, qmax), stored as integers.

    x: fp32, bf16 or fp16 of the shape the qparams were chosen for. No gradient flows. Raises ValueError for another
    shape or dtype, and for a NaN under rules with nan_code raise.
    """
    with torch.no_grad():
        _, codes = code_values(x, qparams)
        return Quantized(codes=store_codes(codes, qparams), qparams=qparams)


def code_values(x: Tensor, qparams: QParams) -> tuple[Tensor, Tensor]:
    """(codes before the clamp, codes after it) as floats of the computing dtype, in the shape of x."""
    scheme, rules = qparams.scheme, qparams.scheme.rules
    groups = groups_of(scheme.granularity, tuple(x.shape))
    if groups.qparam_shape != tuple(qparams.scale.shape):
        raise ValueError(
            f"x of shape {tuple(x.shape)} has groups of shape {groups.qparam_shape}, but the scale's shape is "
            f"{tuple(qparams.scale.shape)}; use qparams chosen for this shape"
        )
    scale = scale_in_use(qparams, rules.code_scale, groups)
    if scheme.zero_point_domain == ZeroPointDomain.FLOAT:
        quotient = _float_domain_quotient(groups.split(x), scale, qparams, groups)
        unclamped = CODE_ROUNDINGS[rules.code_rounding](quotient)
    else:
        unclamped = _integer_domain_codes(groups.split(x), scale, qparams, groups)
    return groups.join(unclamped), groups.join(_clamp(unclamped, scheme.qmin, scheme.qmax, rules))


def unrounded_code_values(x: Tensor, qparams: QParams) -> Tensor:
    """x / s + z before any rounding to integers, in the shape of x (INT and NONE domains; FLOAT: (x - o) / s)."""
    scheme = qparams.scheme
    groups = groups_of(scheme.granularity, tuple(x.shape))
    scale = scale_in_use(qparams, scheme.rules.code_scale, groups)
    if scheme.zero_point_domain == ZeroPointDomain.FLOAT:
        return groups.join(_float_domain_quotient(groups.split(x), scale, qparams, groups))
    dtype = code_dtype_of(scheme, x.dtype)
    quotient = _quotient(narrow(groups.split(x), dtype), scale, qparams, dtype)
    zero_point = zero_point_in_use(qparams, groups)
    return groups.join(quotient if zero_point is None else _add_zero_point(quotient, zero_point, scheme.rules))


def scale_in_use(qparams: QParams, source: d.ScaleSource, groups: Groups) -> Tensor:
    """The scale a step reads, in S, spread over its groups; UNROUNDED keeps the wider dtype it was computed in."""
    unrounded = source == d.ScaleSource.UNROUNDED
    scale = qparams.unrounded_scale if unrounded else qparams.scale
    if scale is None:
        raise ValueError(
            "the rules read the unrounded scale, but these qparams hold only the stored one; choose them with "
            "choose_qparams, or use rules with code_scale and dequantize_scale stored"
        )
    if qparams.scheme.rules.zero_scale_at == d.ZeroScaleAt.USE:
        scale = replace_zero_scale(scale, qparams.scheme.rules)
    return groups.spread(scale)


def zero_point_in_use(qparams: QParams, groups: Groups) -> Tensor | None:
    """The zero point as later steps read it: spread over its groups, a stored offset undone."""
    if qparams.zero_point is None:
        return None
    zero_point = groups.spread(qparams.zero_point)
    return zero_point + 1 if qparams.scheme.rules.zero_point_offset == d.ZeroPointOffset.MINUS_ONE else zero_point


def storage_dtype(qmin: int, qmax: int) -> torch.dtype:
    """The narrowest integer dtype that holds the grid: int8 before uint8, then int16, then int32."""
    for dtype in (torch.int8, torch.uint8, torch.int16):
        if torch.iinfo(dtype).min <= qmin and qmax <= torch.iinfo(dtype).max:
            return dtype
    return torch.int32


def store_codes(codes: Tensor, qparams: QParams) -> Tensor:
    """Float codes as the integers that are stored, a NaN as `nan_code` says."""
    scheme = qparams.scheme
    dtype = storage_dtype(scheme.qmin, scheme.qmax)
    if scheme.rules.nan_code == d.NanCode.RAISE and bool(codes.isnan().any()):
        raise ValueError(f"{int(codes.isnan().sum())} of {codes.numel()} values to quantize are NaN; nan_code is raise")
    nan = {
        d.NanCode.INT_MIN: torch.iinfo(dtype).min,
        d.NanCode.QMIN: scheme.qmin,
        d.NanCode.QMAX: scheme.qmax,
    }.get(scheme.rules.nan_code, 0)
    codes = torch.nan_to_num(codes, nan=float(nan), posinf=torch.inf, neginf=-torch.inf)
    if scheme.rules.code_clamp == d.CodeClamp.NONE:
        return cast_to_integer(codes, dtype)
    return codes.to(dtype)


def _integer_domain_codes(x: Tensor, scale: Tensor, qparams: QParams, groups: Groups) -> Tensor:
    """r(x / s) + z, the INT and NONE domains."""
    scheme, rules = qparams.scheme, qparams.scheme.rules
    dtype = code_dtype_of(scheme, x.dtype)
    wide = narrow(x, dtype)
    rounding = CODE_ROUNDINGS[rules.code_rounding]
    zero_point = zero_point_in_use(qparams, groups)
    if rules.zero_point_add == d.ZeroPointAdd.BEFORE_ROUND_FMA and zero_point is not None:
        inverse = _reciprocal_in_use(scale, qparams, dtype)
        fused = fma(wide.float(), inverse.float(), zero_point.float())
        return rounding(narrow(fused, dtype))
    quotient = _quotient(wide, scale, qparams, dtype)
    if zero_point is None:
        return rounding(quotient)
    if rules.zero_point_add == d.ZeroPointAdd.AFTER_ROUND:
        return _add_zero_point(rounding(quotient), zero_point, rules)
    return rounding(_add_zero_point(quotient, zero_point, rules))


def _quotient(x: Tensor, scale: Tensor, qparams: QParams, dtype: torch.dtype) -> Tensor:
    rules = qparams.scheme.rules
    if rules.code_division == d.CodeDivision.DIVIDE:
        return op(divide(x, narrow(scale, dtype)), rules)
    return op(x * _reciprocal_in_use(scale, qparams, dtype), rules)


def _reciprocal_in_use(scale: Tensor, qparams: QParams, dtype: torch.dtype) -> Tensor:
    """1/s rounded to S and cast to C, or rounded to C at once."""
    rules, scale_dtype = qparams.scheme.rules, qparams.scheme.scale_dtype
    assert isinstance(scale_dtype, torch.dtype)
    if rules.reciprocal_dtype == d.ReciprocalDtype.CODE:
        return op(reciprocal(narrow(scale, dtype)), rules)
    exact_enough = scale if scale.dtype == scale_dtype else scale.double()  # an unrounded scale is rounded to S once
    return narrow(op(narrow(reciprocal(exact_enough), scale_dtype), rules), dtype)


def _add_zero_point(codes: Tensor, zero_point: Tensor, rules: Rules) -> Tensor:
    if rules.zero_point_add_dtype == d.ZeroPointAddDtype.CODE:
        return op(codes + zero_point.to(codes.dtype), rules)
    if rules.zero_point_add_dtype == d.ZeroPointAddDtype.FLOAT32:
        return op(codes.float() + zero_point.float(), rules)
    return op(codes + zero_point, rules)


def _float_domain_quotient(x: Tensor, scale: Tensor, qparams: QParams, groups: Groups) -> Tensor:
    """(x - o) / s with o the value whose code is 0: z - s * mid, or the group's minimum."""
    scheme, rules = qparams.scheme, qparams.scheme.rules
    dtype, origin_dtype = quotient_dtype_of(scheme, x.dtype), origin_dtype_of(scheme, x.dtype)
    if rules.float_code_origin == d.FloatCodeOrigin.MIN:
        if qparams.minimum is None:
            raise ValueError(
                "float_code_origin is min, but these qparams hold no minimum; choose them with choose_qparams"
            )
        origin = groups.spread(qparams.minimum)
    else:
        assert qparams.zero_point is not None
        offset = op(narrow(scale, origin_dtype) * scheme.midpoint, rules)
        origin = op(groups.spread(qparams.zero_point).to(origin_dtype) - offset, rules)
    distance = op(narrow(x, dtype) - narrow(origin, dtype), rules)
    if rules.float_code_division == d.FloatCodeDivision.DIVIDE:
        return op(divide(distance, narrow(scale, dtype)), rules)
    return op(distance * _reciprocal_in_use(scale, qparams, dtype), rules)


def _clamp(codes: Tensor, qmin: int, qmax: int, rules: Rules) -> Tensor:
    if rules.code_clamp == d.CodeClamp.NONE:
        return codes
    if rules.code_clamp == d.CodeClamp.AFTER_INT32:
        beyond = (codes >= 2.0**31) | (codes < -(2.0**31))
        codes = codes.masked_fill(beyond, -(2.0**31))
    if rules.clamp_bound == d.ClampBound.EXACT and codes.dtype in (torch.bfloat16, torch.float16):
        codes = codes.float()
    return codes.clamp(qmin, qmax)
