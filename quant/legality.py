"""Which combinations have a meaning: every check raises a ValueError that names fields, values and what is legal.

Nothing is coerced. Two different reasons give two different sentences; suites test each of them.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import torch

from kernels.narrow import E4M3
from quant import decisions as d
from quant.computed import clamped_dtype_of, code_dtype_of, qparam_dtype_of, quotient_dtype_of, read_scale_dtype_of
from quant.eps import EpsOf
from quant.granularity import Granularity
from quant.integers import holds
from quant.mapping import Extent, Mapping, ZeroPointDomain
from quant.rules import Rules
from quant.scale_legality import check_lower_level, check_narrow_scale
from quant.statistic import check_statistic
from quant.stretched_legality import check_extent, check_stretched

if TYPE_CHECKING:
    from quant.scheme import ResolvedScheme, TensorScheme

INPUT_DTYPES = (torch.float32, torch.bfloat16, torch.float16)
SCALE_DTYPES = (torch.float32, torch.bfloat16, torch.float16, torch.float64, E4M3)
INTEGER_DTYPES = (torch.int8, torch.uint8, torch.int16, torch.int32, torch.int64)
MAX_BITS = 16


def check_tensor_scheme(scheme: TensorScheme) -> None:
    """What can be said of a tensor's scheme before it meets a tensor."""
    _check_kinds(scheme)
    _check_grid(scheme)
    _check_mapping(scheme)
    _check_zero_point(scheme)
    _check_rules(scheme)
    check_statistic(scheme)
    check_extent(scheme)
    check_stretched(scheme)
    check_narrow_scale(scheme)
    if scheme.scale_dtype != "model" and scheme.scale_dtype not in SCALE_DTYPES:
        raise ValueError(f"scale_dtype is {scheme.scale_dtype!r}; use 'model' or one of {names(SCALE_DTYPES)}")
    if not isinstance(scheme.eps, EpsOf) and not (math.isfinite(scheme.eps) and scheme.eps > 0):
        raise ValueError(
            f"eps is {scheme.eps}; it must be a positive finite number or an EpsOf (to bound nothing, use rules with "
            "eps_target none)"
        )


def check_concrete(scheme: ResolvedScheme) -> None:
    """A resolved scheme names dtypes and a number, with nothing left to resolve."""
    values: dict[str, Any] = {name: getattr(scheme, name) for name in ("scale_dtype", "zero_point_dtype", "eps")}
    for name, value in values.items():
        if isinstance(value, str | EpsOf):
            raise ValueError(f"{name} of a resolved scheme is {value!r}; use TensorScheme.resolved(dtype) to make one")


def check_input_dtype(dtype: torch.dtype) -> None:
    """Only fp32, bf16 and fp16 tensors are quantized."""
    if dtype not in INPUT_DTYPES:
        raise ValueError(f"the tensor's dtype is {dtype}; quantization takes one of {names(INPUT_DTYPES)}")


def check_resolved(scheme: ResolvedScheme, dtype: torch.dtype) -> None:
    """What can only be said once every dtype is known; lossy schemes are refused where the rules say so."""
    check_lower_level(scheme)
    rules = scheme.rules
    bounded = scheme.scale_dtype if rules.eps_order is d.EpsOrder.AFTER_STORAGE else qparam_dtype_of(scheme, dtype)
    if rules.eps_target is not d.EpsTarget.NONE and scheme.eps > torch.finfo(bounded).max:
        raise ValueError(
            f"eps is {scheme.eps!r} and bounds values of {bounded}, whose largest is {torch.finfo(bounded).max}; "
            "use a smaller eps"
        )
    fused_dtype = code_dtype_of(scheme, dtype)
    if rules.zero_point_add is d.ZeroPointAdd.BEFORE_ROUND_FMA and fused_dtype is torch.float64:
        raise ValueError(
            f"zero_point_add is before_round_fma and codes are computed in {fused_dtype}: the fused multiply-add is a "
            "float32 one; use another code_dtype, or before_round"
        )
    _check_bounds_exist(scheme, dtype)
    if rules.refuse_lossy:
        _check_eps_survives(scheme, dtype)
        _check_codes_fit(scheme, dtype)
        _check_zero_point_survives(scheme, dtype)


def _check_bounds_exist(scheme: ResolvedScheme, dtype: torch.dtype) -> None:
    """Bounds that are rounded to a dtype stay finite there; only fp16 ends below 2**16."""
    rules = scheme.rules
    clamped, computed = clamped_dtype_of(scheme, dtype), qparam_dtype_of(scheme, dtype)
    masked = rules.gradient_mask in (d.GradientMask.ROUNDED, d.GradientMask.UNROUNDED)
    bounds_codes = rules.code_clamp is not d.CodeClamp.NONE or masked
    if rules.clamp_bound is d.ClampBound.ROUNDED and bounds_codes and scheme.qmax > torch.finfo(clamped).max:
        raise ValueError(
            f"clamp_bound is rounded, codes are clamped in {clamped} and qmax is {scheme.qmax}, beyond its largest, "
            f"{torch.finfo(clamped).max}; use clamp_bound exact or a wider code_dtype"
        )
    asymmetric = scheme.mapping is Mapping.ASYMMETRIC and scheme.zero_point_domain is ZeroPointDomain.INT
    clamps = asymmetric and rules.zero_point_clamp is d.ZeroPointClamp.CLAMP
    if clamps and scheme.qmax > torch.finfo(computed).max:
        raise ValueError(
            f"zero_point_clamp is clamp, zero points are computed in {computed} and qmax is {scheme.qmax}, beyond its "
            f"largest, {torch.finfo(computed).max}; use a wider qparam_dtype or fewer bits"
        )


def _check_eps_survives(scheme: ResolvedScheme, dtype: torch.dtype) -> None:
    """A scale at its lower bound stays positive in every dtype on its way to the division."""
    rules = scheme.rules
    if rules.eps_target is d.EpsTarget.NONE or rules.zero_scale is not d.ZeroScale.KEEP:
        return
    bound = scheme.eps
    if rules.eps_target is d.EpsTarget.RANGE:
        bound /= scheme.qmax - scheme.qmin
    path = [read_scale_dtype_of(scheme), quotient_dtype_of(scheme, dtype)]
    if scheme.global_scale_dtype is None and scheme.scale_dtype is E4M3:
        path[0] = E4M3
    if rules.eps_order is d.EpsOrder.BEFORE_STORAGE:
        path.insert(0, qparam_dtype_of(scheme, dtype))
    for step in path:
        if step is E4M3 and rules.scale_rounding is d.ScaleRounding.UP:
            bound = max(bound, torch.finfo(E4M3).smallest_normal * torch.finfo(E4M3).eps)
        if torch.tensor(bound, dtype=torch.float64).to(step).item() == 0.0:
            raise ValueError(
                f"eps is {scheme.eps!r} and a scale passes through {step}: eps rounds to zero there, so a group of "
                f"zeros would be divided by zero; use an eps of at least {torch.finfo(step).smallest_normal}"
            )


def _check_codes_fit(scheme: ResolvedScheme, dtype: torch.dtype) -> None:
    computed = quotient_dtype_of(scheme, dtype)
    rounds = not (holds(computed, scheme.qmin) and holds(computed, scheme.qmax))
    if scheme.rules.clamp_bound is d.ClampBound.ROUNDED and rounds:
        raise ValueError(
            f"clamp_bound is rounded, codes are computed in {computed} and qmax is {scheme.qmax}, which that dtype "
            "cannot hold; use clamp_bound exact or a wider code_dtype"
        )


def _check_zero_point_survives(scheme: ResolvedScheme, dtype: torch.dtype) -> None:
    """An integer zero point fits the dtype it is computed in and the one it is stored in."""
    if scheme.zero_point_domain is not ZeroPointDomain.INT or scheme.zero_point_dtype is None:
        return
    asymmetric = scheme.mapping is Mapping.ASYMMETRIC
    low, high = (scheme.qmin, scheme.qmax) if asymmetric else (scheme.constant_zero_point,) * 2
    computed = qparam_dtype_of(scheme, dtype)
    if not (holds(computed, low) and holds(computed, high)):
        raise ValueError(
            f"zero points lie in [{low:g}, {high:g}] and are computed in {computed}, which cannot hold them; use a "
            "wider qparam_dtype or fewer bits"
        )
    low -= scheme.rules.zero_point_offset is d.ZeroPointOffset.MINUS_ONE
    if not (holds(scheme.zero_point_dtype, low) and holds(scheme.zero_point_dtype, high)):
        raise ValueError(
            f"zero_point_dtype is {scheme.zero_point_dtype} and stored zero points lie in [{low:g}, {high:g}], which "
            "it cannot hold; use a wider dtype"
        )


def _check_kinds(scheme: TensorScheme) -> None:
    """Every field holds a value of its own kind: a text that merely equals a member is refused."""
    bound = float if scheme.mapping is Mapping.STRETCHED else int
    kinds: tuple[tuple[str, Any], ...] = (
        ("bits", int),
        ("qmin", bound),
        ("qmax", bound),
        ("granularity", Granularity),
        ("extent", Extent),
        ("mapping", Mapping),
        ("preserve_zero", bool),
        ("zero_point_domain", ZeroPointDomain),
        ("rules", Rules),
    )
    for name, kind in kinds:
        value = getattr(scheme, name)
        if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
            legal = " or ".join(k.__name__ for k in getattr(kind, "__args__", (kind,)))
            raise ValueError(f"{name} is {value!r}; it must be a value of {legal}")


def _check_grid(scheme: TensorScheme) -> None:
    if not 1 <= scheme.bits <= MAX_BITS:
        raise ValueError(f"bits is {scheme.bits}; it must be between 1 and {MAX_BITS}")
    half = 2 ** (scheme.bits - 1)
    if scheme.mapping is Mapping.STRETCHED:
        if (scheme.qmin, scheme.qmax) != (0.5 - half, half - 0.5):
            raise ValueError(
                f"qmin is {scheme.qmin} and qmax is {scheme.qmax} with bits {scheme.bits} and mapping stretched; the "
                f"stretched grid of these bits is [{0.5 - half}, {half - 0.5}]"
            )
        return
    signed = -half <= scheme.qmin <= 0 <= scheme.qmax <= half - 1
    unsigned = 0 == scheme.qmin < scheme.qmax <= 2 * half - 1
    if scheme.qmin >= scheme.qmax or not (signed or unsigned):
        raise ValueError(
            f"qmin is {scheme.qmin} and qmax is {scheme.qmax} with bits {scheme.bits}; the grid must hold zero, qmin "
            f"below qmax, and lie within [{-half}, {half - 1}] or [0, {2 * half - 1}]"
        )


def _check_mapping(scheme: TensorScheme) -> None:
    rules, mapping = scheme.rules, scheme.mapping
    if mapping is not Mapping.ASYMMETRIC and not scheme.preserve_zero:
        raise ValueError(
            f"preserve_zero is False and mapping is {mapping}: a symmetric range always holds zero; "
            "use preserve_zero=True, or mapping asymmetric"
        )
    if mapping is Mapping.SYMMETRIC_NO_CLIPPING and scheme.qmax == 0:
        raise ValueError(
            "mapping is symmetric_no_clipping and qmax is 0: the positive end would be divided by zero; use "
            "mapping symmetric, or a grid with a positive qmax"
        )
    if mapping is Mapping.SYMMETRIC and rules.symmetric_scale is d.SymmetricScale.QMAX and scheme.qmax == 0:
        raise ValueError("symmetric_scale is qmax and qmax is 0: the range would be divided by zero; use half_span")
    if mapping is Mapping.SYMMETRIC and rules.symmetric_scale is d.SymmetricScale.ABS_QMIN and scheme.qmin == 0:
        raise ValueError("symmetric_scale is abs_qmin and qmin is 0: the range would be divided by zero; use half_span")
    if mapping is Mapping.SYMMETRIC_NO_CLIPPING and rules.eps_target is d.EpsTarget.RANGE:
        raise ValueError(
            "eps_target is range and mapping is symmetric_no_clipping: two ranges are divided, and eps bounds one; "
            "use eps_target scale"
        )


def _check_zero_point(scheme: TensorScheme) -> None:
    domain, dtype = scheme.zero_point_domain, scheme.zero_point_dtype
    if domain is ZeroPointDomain.NONE:
        if dtype is not None:
            raise ValueError(
                f"zero_point_domain is none and zero_point_dtype is {dtype}: there is no zero point to store; "
                "use zero_point_dtype=None, or the int domain"
            )
        if scheme.mapping is Mapping.ASYMMETRIC:
            raise ValueError(
                "zero_point_domain is none and mapping is asymmetric: an asymmetric range needs a zero point; "
                "use mapping symmetric, or the int or float domain"
            )
        if int(scheme.midpoint) != 0:
            raise ValueError(
                f"zero_point_domain is none and the grid is [{scheme.qmin}, {scheme.qmax}]: without a zero point the "
                "grid must be centred on zero; use a signed grid"
            )
        return
    if dtype is None:
        raise ValueError(f"zero_point_dtype is None and zero_point_domain is {domain}; name the dtype that stores it")
    if dtype != "model" and dtype not in INTEGER_DTYPES + INPUT_DTYPES:
        legal = names(INTEGER_DTYPES + INPUT_DTYPES)
        raise ValueError(f"zero_point_dtype is {dtype!r}; use 'model' or one of {legal}")
    if domain is ZeroPointDomain.FLOAT:
        if scheme.mapping is not Mapping.ASYMMETRIC:
            raise ValueError(
                f"zero_point_domain is float and mapping is {scheme.mapping}: a float zero point places an asymmetric "
                "range; use mapping asymmetric, or the int domain"
            )
        if dtype in INTEGER_DTYPES and scheme.rules.refuse_lossy:
            raise ValueError(
                f"zero_point_domain is float and zero_point_dtype is {dtype}: a float zero point is a value and an "
                "integer dtype would cut its fraction; use 'model' or a floating dtype"
            )


def _check_rules(scheme: TensorScheme) -> None:
    rules, domain = scheme.rules, scheme.zero_point_domain
    if domain is not ZeroPointDomain.FLOAT and rules.rescale_fusion is not d.RescaleFusion.TWO_ROUNDINGS:
        raise ValueError(
            f"rescale_fusion is {rules.rescale_fusion} and zero_point_domain is {domain}: only the float domain adds a "
            "zero point after the multiplication; use two_roundings"
        )
    if domain is not ZeroPointDomain.INT and rules.zero_point_add is d.ZeroPointAdd.BEFORE_ROUND_FMA:
        raise ValueError(
            f"zero_point_add is before_round_fma and zero_point_domain is {domain}: only the int domain adds an "
            "integer zero point to the quotient; use after_round"
        )
    dtype = scheme.zero_point_dtype
    cuts = domain is ZeroPointDomain.INT and rules.zero_point_rule is d.ZeroPointRule.FROM_VALUE
    if cuts and scheme.mapping is Mapping.ASYMMETRIC and dtype not in INTEGER_DTYPES:
        raise ValueError(
            f"zero_point_rule is from_value and zero_point_dtype is {dtype}: the value is cut to an integer code; "
            "use an integer dtype, or zero_point_rule from_min"
        )
    if domain is not ZeroPointDomain.INT and rules.zero_point_offset is not d.ZeroPointOffset.NONE:
        raise ValueError(
            f"zero_point_offset is {rules.zero_point_offset} and zero_point_domain is {domain}: only an integer zero "
            "point is stored less one; use the int domain, or zero_point_offset none"
        )


def names(dtypes: tuple[torch.dtype, ...]) -> str:
    """Dtypes as a sentence lists them, without their prefix."""
    return ", ".join(str(dtype).removeprefix("torch.") for dtype in dtypes)
