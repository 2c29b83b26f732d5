"""quantize: codes = clamp(round(x / scale) + zero_point, qmin, qmax), with every decision of that line declared."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from kernels.fma import fma
from kernels.rounding import half_away, half_away_by_adding, half_even, half_up, truncate
from kernels.traced import numbers_alone
from quant import decisions as d
from quant.computed import code_dtype_of
from quant.device import cast, op
from quant.granularity import Groups, groups_of
from quant.integers import cast_to_integer, holds
from quant.legality import check_input_dtype
from quant.mapping import ZeroPointDomain
from quant.qparams import QParams
from quant.quotient import quotient, reciprocal_of, scale_in_use, zero_point_in_use
from quant.rules import Rules
from quant.scheme import ResolvedScheme

CODE_ROUNDINGS = {
    d.CodeRounding.HALF_EVEN: half_even,
    d.CodeRounding.HALF_AWAY: half_away,
    d.CodeRounding.HALF_AWAY_BY_ADDING: half_away_by_adding,
    d.CodeRounding.HALF_UP: half_up,
    d.CodeRounding.TRUNCATE: truncate,
}

# What clamps codes; the others leave them as they are rounded.
CLAMPING = (d.CodeClamp.AFTER_ROUND, d.CodeClamp.AFTER_INT32)


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
        return Quantized(codes=store_codes(codes, qparams.scheme), qparams=qparams)


def code_values(x: Tensor, qparams: QParams) -> tuple[Tensor, Tensor]:
    """(codes before the clamp, codes after it) as floats of the computing dtype, in the shape of x."""
    scheme, rules = qparams.scheme, qparams.scheme.rules
    groups = _groups(x, qparams)
    rounding = CODE_ROUNDINGS[rules.code_rounding]
    unclamped = rounding(_unrounded(x, qparams, groups))
    zero_point = zero_point_in_use(qparams, groups)
    if _adds_after_rounding(scheme) and zero_point is not None:
        unclamped = _add_zero_point(unclamped, zero_point, rules)
    if rules.code_clamp is d.CodeClamp.INPUT_LIMITS:
        return groups.join(unclamped), groups.join(rounding(_unrounded(x, qparams, groups, limited=True)))
    return groups.join(unclamped), groups.join(_clamp(unclamped, scheme))


def unrounded_code_values(x: Tensor, qparams: QParams) -> Tensor:
    """x / s + z, or (x - o) / s in the FLOAT domain, before any rounding to integers; in the shape of x."""
    groups = _groups(x, qparams)
    unrounded = _unrounded(x, qparams, groups)
    zero_point = zero_point_in_use(qparams, groups)
    if _adds_after_rounding(qparams.scheme) and zero_point is not None:
        unrounded = _add_zero_point(unrounded, zero_point, qparams.scheme.rules)
    return groups.join(unrounded)


def storage_dtype(qmin: int, qmax: int) -> torch.dtype:
    """The narrowest integer dtype that holds the grid: int8 before uint8, then int16, then int32."""
    for dtype in (torch.int8, torch.uint8, torch.int16):
        if torch.iinfo(dtype).min <= qmin and qmax <= torch.iinfo(dtype).max:
            return dtype
    return torch.int32


def store_codes(codes: Tensor, scheme: ResolvedScheme) -> Tensor:
    """Float codes as the integers that are stored, a NaN as `nan_code` says; out of range as x86 converts it."""
    rules, dtype = scheme.rules, storage_dtype(scheme.code_min, scheme.code_max)
    if rules.nan_code is d.NanCode.RAISE:
        codes = numbers_alone(codes, "values to quantize are NaN; nan_code is raise")
    numbers = _numbers(codes)
    in_range = rules.code_clamp in CLAMPING and _holds_grid(codes.dtype, scheme)
    stored = numbers.to(dtype) if in_range else cast_to_integer(numbers, dtype)
    if rules.nan_code in (d.NanCode.ZERO, d.NanCode.RAISE):
        return stored
    missing = codes.isnan()
    nan_codes = {
        d.NanCode.INT_MIN: torch.iinfo(dtype).min,
        d.NanCode.QMIN: scheme.code_min,
        d.NanCode.QMAX: scheme.code_max,
    }
    return stored.masked_fill(missing, nan_codes[rules.nan_code])


def _numbers(codes: Tensor) -> Tensor:
    """codes with 0 in place of NaN, in what is vectorized: where() only by compilers, nan_to_num only without them."""
    if torch.compiler.is_compiling():
        return torch.where(codes == codes, codes, 0.0)
    return codes.nan_to_num(0.0, torch.inf, -torch.inf)


def _groups(x: Tensor, qparams: QParams) -> Groups:
    """The grouped view of x's shape; ValueError unless the qparams were chosen for such a tensor."""
    check_input_dtype(x.dtype)
    groups = groups_of(qparams.scheme.granularity, tuple(x.shape))
    if groups.qparam_shape != tuple(qparams.scale.shape):
        raise ValueError(
            f"x of shape {tuple(x.shape)} has groups of shape {groups.qparam_shape}, but the scale's shape is "
            f"{tuple(qparams.scale.shape)}; use qparams chosen for this shape"
        )
    return groups


def _adds_after_rounding(scheme: ResolvedScheme) -> bool:
    """Whether an integer zero point is added to what is rounded already; a FLOAT one is part of the quotient."""
    is_integer = scheme.zero_point_domain is ZeroPointDomain.INT
    return is_integer and scheme.rules.zero_point_add is d.ZeroPointAdd.AFTER_ROUND


def _unrounded(x: Tensor, qparams: QParams, groups: Groups, *, limited: bool = False) -> Tensor:
    """What `code_rounding` rounds: x / s, or x / s + z in one of two ways, or (x - o) / s. A grouped view."""
    scheme, rules = qparams.scheme, qparams.scheme.rules
    grouped = groups.split(x)
    if scheme.zero_point_domain is not ZeroPointDomain.INT or rules.zero_point_add is d.ZeroPointAdd.AFTER_ROUND:
        return quotient(grouped, qparams, groups)
    zero_point = zero_point_in_use(qparams, groups)
    assert zero_point is not None
    if rules.zero_point_add is d.ZeroPointAdd.BEFORE_ROUND:
        return _add_zero_point(quotient(grouped, qparams, groups, limited=limited), zero_point, rules)
    dtype = code_dtype_of(scheme, x.dtype)
    inverse = reciprocal_of(scale_in_use(qparams, rules.code_scale, groups), qparams, dtype)
    fused = fma(cast(grouped, dtype, rules).float(), inverse.float(), zero_point.float())
    return cast(op(fused, rules), dtype, rules)


def _add_zero_point(codes: Tensor, zero_point: Tensor, rules: Rules) -> Tensor:
    if rules.zero_point_add_dtype is d.ZeroPointAddDtype.CODE:
        return op(codes + zero_point.to(codes.dtype), rules)
    if rules.zero_point_add_dtype is d.ZeroPointAddDtype.FLOAT32:
        return op(codes.float() + zero_point.float(), rules)
    return op(codes + zero_point, rules)


def _holds_grid(dtype: torch.dtype, scheme: ResolvedScheme) -> bool:
    return holds(dtype, scheme.code_min) and holds(dtype, scheme.code_max)


def _clamp(codes: Tensor, scheme: ResolvedScheme) -> Tensor:
    """codes within [qmin, qmax]; the bounds are rounded to the codes' dtype unless `clamp_bound` keeps them exact."""
    rules, qmin, qmax = scheme.rules, scheme.code_min, scheme.code_max
    if rules.code_clamp not in CLAMPING:
        return codes
    if rules.code_clamp is d.CodeClamp.AFTER_INT32:
        beyond = (codes >= 2.0**31) | (codes < -(2.0**31))
        codes = codes.masked_fill(beyond, qmin)  # they are INT_MIN, which the clamp raises to qmin
    return beside_bounds(codes, scheme).clamp(qmin, qmax)


def beside_bounds(codes: Tensor, scheme: ResolvedScheme) -> Tensor:
    """codes, in fp32 where `clamp_bound` keeps bounds exact that their own dtype would round (torch rounds them)."""
    exact = scheme.rules.clamp_bound is d.ClampBound.EXACT
    return codes.float() if exact and not _holds_grid(codes.dtype, scheme) else codes
