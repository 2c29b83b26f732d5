"""Which decisions can act under a scheme: all that are not idle, and why each of the others is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import torch

from kernels.narrow import E4M3
from quant import decisions as d
from quant.computed import qparam_dtype_of, quotient_dtype_of, rescale_dtype_of
from quant.integers import holds
from quant.mapping import Extent, Mapping, ZeroPointDomain
from quant.rules import Rules

if TYPE_CHECKING:
    from quant.scheme import ResolvedScheme, TensorScheme


@lru_cache(maxsize=4096)
def relevant(scheme: TensorScheme, dtype: torch.dtype) -> tuple[str, ...]:
    """Names of the decisions whose value can move a bit for a tensor of `dtype` and an output of that dtype.

    In the order they act. A decision left out is provably idle: whatever legal value it has, every stage and the
    gradient keep their bits. One that is listed may still need an input that few tensors hold. Raises what
    `scheme.resolved(dtype)` raises.
    """
    resolved = scheme.resolved(dtype)
    idle = {name for rule in IDLE if rule.holds(resolved, dtype) for name in rule.fields}
    return tuple(name for name in Rules.decisions() if name not in idle)


@dataclass(frozen=True, slots=True, kw_only=True)
class Idle:
    """Fields that cannot act where a condition holds."""

    fields: tuple[str, ...]
    reason: str
    holds: Callable[[ResolvedScheme, torch.dtype], bool]


def _in_float_domain(scheme: ResolvedScheme) -> bool:
    return scheme.zero_point_domain is ZeroPointDomain.FLOAT


def _cuts_a_value(scheme: ResolvedScheme) -> bool:
    computed = scheme.mapping is Mapping.ASYMMETRIC and scheme.zero_point_domain is ZeroPointDomain.INT
    return computed and scheme.rules.zero_point_rule is d.ZeroPointRule.FROM_VALUE


def _takes_reciprocal(scheme: ResolvedScheme) -> bool:
    rules = scheme.rules
    if _in_float_domain(scheme):
        return rules.float_code_division is d.FloatCodeDivision.RECIPROCAL_MULTIPLY
    return rules.code_division is d.CodeDivision.RECIPROCAL_MULTIPLY


def _fused(scheme: ResolvedScheme) -> bool:
    return _in_float_domain(scheme) and scheme.rules.rescale_fusion is not d.RescaleFusion.TWO_ROUNDINGS


def _clamp_bound_idle(scheme: ResolvedScheme, dtype: torch.dtype) -> bool:
    computed = quotient_dtype_of(scheme, dtype)
    held = holds(computed, scheme.code_min) and holds(computed, scheme.code_max)
    masked = scheme.rules.gradient_mask in (d.GradientMask.ROUNDED, d.GradientMask.UNROUNDED)
    unclamped = scheme.rules.code_clamp in (d.CodeClamp.NONE, d.CodeClamp.INPUT_LIMITS)
    return held or (unclamped and not masked)


def _float64_reaches_16_bits(scheme: ResolvedScheme, dtype: torch.dtype) -> bool:
    computed = {
        qparam_dtype_of(scheme, dtype),
        quotient_dtype_of(scheme, dtype),
        rescale_dtype_of(scheme, dtype),
        scheme.scale_dtype,
    }
    narrow = {dtype, scheme.scale_dtype, scheme.zero_point_dtype, *computed} & {torch.bfloat16, torch.float16, E4M3}
    eps = torch.tensor(scheme.eps, dtype=torch.float64)
    return bool(narrow) and (torch.float64 in computed or eps.float().item() != scheme.eps)


_INTEGER_ZERO_POINT = (
    "zero_point_division",
    "zero_point_rule",
    "zero_point_round_order",
    "zero_point_rounding",
    "zero_point_clamp",
)
_FLOAT_DOMAIN = (
    "float_zero_point",
    "float_code_division",
    "float_code_origin",
    "float_rescale_dtype",
    "rescale_intermediate",
    "rescale_fusion",
    "float_gradient_product",
)

IDLE: tuple[Idle, ...] = (
    Idle(
        fields=("mean_accumulate",),
        reason="the range is that of the extremes: no mean is taken",
        holds=lambda scheme, dtype: scheme.extent is Extent.MIN_MAX,
    ),
    Idle(
        fields=("symmetric_scale",),
        reason="only the symmetric mapping divides max|x|",
        holds=lambda scheme, dtype: scheme.mapping is not Mapping.SYMMETRIC,
    ),
    Idle(
        fields=("eps_order",),
        reason="eps bounds no scale",
        holds=lambda scheme, dtype: scheme.rules.eps_target is not d.EpsTarget.SCALE,
    ),
    Idle(
        fields=("scale_overflow",),
        reason="every finite scale that is computed fits the dtype it is stored in",
        holds=lambda scheme, dtype: (
            torch.finfo(qparam_dtype_of(scheme, dtype)).max <= torch.finfo(scheme.scale_dtype).max
        ),
    ),
    Idle(
        fields=("zero_scale_at",),
        reason="no scale is replaced",
        holds=lambda scheme, dtype: scheme.rules.zero_scale is d.ZeroScale.KEEP,
    ),
    Idle(
        fields=_INTEGER_ZERO_POINT,
        reason="only an asymmetric range in the int domain has an integer zero point to compute",
        holds=lambda scheme, dtype: _in_float_domain(scheme) or scheme.mapping is not Mapping.ASYMMETRIC,
    ),
    Idle(
        fields=("zero_point_division", "zero_point_round_order", "zero_point_rounding", "zero_point_clamp"),
        reason="the zero point is a value cut to an integer",
        holds=lambda scheme, dtype: _cuts_a_value(scheme),
    ),
    Idle(
        fields=("zero_point_scale",),
        reason="the zero point is a constant, absent, or the minimum itself",
        holds=lambda scheme, dtype: (
            scheme.mapping is not Mapping.ASYMMETRIC
            or (_in_float_domain(scheme) and scheme.rules.float_zero_point is d.FloatZeroPoint.MIN)
        ),
    ),
    Idle(
        fields=("zero_point_cast",),
        reason="no fraction meets an integer dtype",
        holds=lambda scheme, dtype: (
            not (_in_float_domain(scheme) or _cuts_a_value(scheme))
            or scheme.zero_point_dtype is None
            or scheme.zero_point_dtype.is_floating_point
        ),
    ),
    Idle(
        fields=("zero_point_offset", "zero_point_add", "zero_point_add_dtype"),
        reason="no integer zero point is stored or added",
        holds=lambda scheme, dtype: scheme.zero_point_domain is not ZeroPointDomain.INT,
    ),
    Idle(
        fields=("code_division",),
        reason="the float domain divides by a rule of its own, and a fused multiply-add takes the reciprocal",
        holds=lambda scheme, dtype: (
            _in_float_domain(scheme) or scheme.rules.zero_point_add is d.ZeroPointAdd.BEFORE_ROUND_FMA
        ),
    ),
    Idle(
        fields=("reciprocal_dtype",),
        reason="no reciprocal is taken",
        holds=lambda scheme, dtype: not _takes_reciprocal(scheme),
    ),
    Idle(
        fields=("clamp_bound",),
        reason="the codes' dtype holds both bounds, or nothing is clamped or masked",
        holds=_clamp_bound_idle,
    ),
    Idle(
        fields=("subtract_dtype", "rescale_dtype", "gradient_product"),
        reason="the float domain has rules of its own",
        holds=lambda scheme, dtype: _in_float_domain(scheme),
    ),
    Idle(
        fields=_FLOAT_DOMAIN,
        reason="they belong to the float domain",
        holds=lambda scheme, dtype: not _in_float_domain(scheme),
    ),
    Idle(
        fields=("float_rescale_dtype", "rescale_intermediate"),
        reason="a fused multiply-add has one rounding, to fp32",
        holds=lambda scheme, dtype: _fused(scheme),
    ),
    Idle(
        fields=("operand_dtype",),
        reason="the operand is fp32 either way",
        holds=lambda scheme, dtype: dtype is torch.float32,
    ),
    Idle(
        fields=("gradient_product", "float_gradient_product"),
        reason="no gradient passes",
        holds=lambda scheme, dtype: scheme.rules.gradient_mask is d.GradientMask.ALL,
    ),
    Idle(
        fields=("float64_cast",),
        reason="no float64 value is rounded to 16 bits",
        holds=lambda scheme, dtype: not _float64_reaches_16_bits(scheme, dtype),
    ),
)
