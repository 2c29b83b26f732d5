"""The dtype in which each step of a resolved scheme is computed: every promotion of the rules, once."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from types import MappingProxyType
from typing import TYPE_CHECKING

import torch

from kernels.narrow import E4M3
from quant import decisions as d
from quant.mapping import ZeroPointDomain

if TYPE_CHECKING:
    from quant.scheme import ResolvedScheme, TensorScheme


@lru_cache(maxsize=4096)
def computed_dtypes(scheme: TensorScheme, dtype: torch.dtype) -> Mapping[str, torch.dtype]:
    """Stage suffix -> dtype of its arithmetic, for a tensor of `dtype`: scale, zero_point, codes, dequantized.

    What a stage is *stored* in may be narrower. No zero_point in the NONE domain. `dequantized` is the dtype of the
    multiplication by the scale (float32 under a fused multiply-add), for an output of `dtype`. Raises what
    `scheme.resolved(dtype)` raises.
    """
    resolved = scheme.resolved(dtype)
    stages = {
        "scale": qparam_dtype_of(resolved, dtype),
        "zero_point": qparam_dtype_of(resolved, dtype),
        "codes": quotient_dtype_of(resolved, dtype),
        "dequantized": rescale_dtype_of(resolved, dtype),
    }
    if resolved.zero_point_domain is ZeroPointDomain.NONE:
        del stages["zero_point"]
    return MappingProxyType(stages)


def qparam_dtype_of(scheme: TensorScheme, dtype: torch.dtype) -> torch.dtype:
    """Q, the dtype in which range, scale and zero point of a tensor of `dtype` are computed."""
    if scheme.rules.qparam_dtype is d.QparamDtype.INPUT:
        return dtype
    return torch.float32 if scheme.rules.qparam_dtype is d.QparamDtype.FLOAT32 else torch.float64


def read_scale_dtype(scale_dtype: torch.dtype, global_scale_dtype: torch.dtype | None) -> torch.dtype:
    """S as later steps read it: fp32 for what is only stored in eight bits, and for the product of two levels."""
    return torch.float32 if global_scale_dtype is not None or scale_dtype is E4M3 else scale_dtype


def read_scale_dtype_of(scheme: ResolvedScheme) -> torch.dtype:
    """`read_scale_dtype` of the scheme's own; the S of every step after the scale is stored."""
    return read_scale_dtype(scheme.scale_dtype, scheme.global_scale_dtype)


def code_dtype_of(scheme: ResolvedScheme, dtype: torch.dtype) -> torch.dtype:
    """C, the dtype in which x/s is computed in the INT and NONE domains, for a tensor of `dtype`."""
    rule = scheme.rules.code_dtype
    if rule is d.CodeDtype.FLOAT32:
        return torch.float32
    if rule is d.CodeDtype.PROMOTED:
        return torch.promote_types(dtype, read_scale_dtype_of(scheme))
    if rule is d.CodeDtype.INPUT:
        return dtype
    return read_scale_dtype_of(scheme) if rule is d.CodeDtype.SCALE else torch.float64


def origin_dtype_of(scheme: ResolvedScheme, dtype: torch.dtype) -> torch.dtype:
    """Dtype of o, the value whose code is 0 in the FLOAT domain: P(S, Z) under promotion, as torchao has it, else C."""
    if scheme.rules.code_dtype is not d.CodeDtype.PROMOTED:
        return code_dtype_of(scheme, dtype)
    if scheme.rules.float_code_origin is d.FloatCodeOrigin.MIN:
        return qparam_dtype_of(scheme, dtype)
    assert scheme.zero_point_dtype is not None
    return torch.promote_types(read_scale_dtype_of(scheme), scheme.zero_point_dtype)


def quotient_dtype_of(scheme: ResolvedScheme, dtype: torch.dtype) -> torch.dtype:
    """Dtype of x/s, and in the FLOAT domain of (x - o)/s: C, there promoted with the dtype of o."""
    quotient = code_dtype_of(scheme, dtype)
    if scheme.zero_point_domain is not ZeroPointDomain.FLOAT:
        return quotient
    return torch.promote_types(quotient, origin_dtype_of(scheme, dtype))


def clamped_dtype_of(scheme: ResolvedScheme, dtype: torch.dtype) -> torch.dtype:
    """Dtype of the codes before their clamp: that of the quotient, or of the addition of an integer zero point."""
    quotient, rules = quotient_dtype_of(scheme, dtype), scheme.rules
    fused = rules.zero_point_add is d.ZeroPointAdd.BEFORE_ROUND_FMA
    if scheme.zero_point_domain is not ZeroPointDomain.INT or fused:
        return quotient
    if rules.zero_point_add_dtype is d.ZeroPointAddDtype.FLOAT32:
        return torch.float32
    assert scheme.zero_point_dtype is not None
    promoted = rules.zero_point_add_dtype is d.ZeroPointAddDtype.PROMOTED
    return torch.promote_types(quotient, scheme.zero_point_dtype) if promoted else quotient


def rescale_dtype_of(scheme: ResolvedScheme, dtype: torch.dtype) -> torch.dtype:
    """T, the dtype of (q - z) * s for an output of `dtype`; the FLOAT domain declares its own, a fused one is fp32."""
    in_float_domain = scheme.zero_point_domain is ZeroPointDomain.FLOAT
    if in_float_domain and scheme.rules.rescale_fusion is not d.RescaleFusion.TWO_ROUNDINGS:
        return torch.float32
    rule = scheme.rules.float_rescale_dtype if in_float_domain else scheme.rules.rescale_dtype
    if rule is d.RescaleDtype.FLOAT32:
        return torch.float32
    if rule is d.RescaleDtype.PROMOTED:
        return torch.promote_types(dtype, read_scale_dtype_of(scheme))
    if rule is d.RescaleDtype.OUTPUT:
        return dtype
    return read_scale_dtype_of(scheme) if rule is d.RescaleDtype.SCALE else torch.float64
