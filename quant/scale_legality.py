"""Which scales can be stored in eight bits and which on two levels, each refusal with its sentence."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from kernels.narrow import E4M3
from quant import decisions as d
from quant.mapping import Extent, Mapping
from quant.statistic import Own

if TYPE_CHECKING:
    from quant.scheme import ResolvedScheme, TensorScheme

LOWER_LEVELS = (torch.float16, E4M3)  # whose largest number leaves fp32 room for the scale above


def check_narrow_scale(scheme: TensorScheme) -> None:
    """What a scale of eight bits, or one on two levels, needs of the rest of the scheme."""
    on_two_levels = scheme.global_scale_dtype is not None
    if not on_two_levels and scheme.scale_dtype is not E4M3:
        return
    rules, what = scheme.rules, _what(scheme)
    if rules.scale_overflow is not d.ScaleOverflow.SATURATE:
        raise ValueError(
            f"scale_overflow is {rules.scale_overflow} and {what}: the largest scale lies at the end of the dtype that "
            "stores it, which must not become infinite; use saturate"
        )
    if rules.eps_order is not d.EpsOrder.BEFORE_STORAGE:
        raise ValueError(
            f"eps_order is {rules.eps_order} and {what}: what is stored is no scale to compare with eps; use "
            "before_storage"
        )
    if on_two_levels:
        _check_two_levels(scheme)


def check_lower_level(scheme: ResolvedScheme) -> None:
    """The dtype of the lower of two levels, which "model" may have left open."""
    if scheme.global_scale_dtype is not None and scheme.scale_dtype not in LOWER_LEVELS:
        raise ValueError(
            f"scale_dtype is {scheme.scale_dtype} and {_what(scheme)}: a ratio of scales is stored with the largest at "
            "the end of its dtype; use float16 or float8_e4m3fn"
        )


def _check_two_levels(scheme: TensorScheme) -> None:
    what = _what(scheme)
    if scheme.global_scale_dtype is not torch.float32:
        raise ValueError(f"{what}; the upper of two levels is stored in float32, or there is none (None)")
    if scheme.mapping is Mapping.STRETCHED:
        raise ValueError(f"mapping is stretched and {what}: tables of a grid of halves have one level; use None")
    refused = (
        ("extent", scheme.extent, Extent.MIN_MAX, "the largest scale is that of extremes"),
        ("statistic", scheme.statistic, Own(), "both levels come from the tensor at hand"),
    )
    for name, value, wanted, reason in refused:
        if value != wanted:
            raise ValueError(f"{name} is {value} and {what}: {reason}; use {wanted}")
    if scheme.rules.refuse_lossy and scheme.rules.scale_rounding is not d.ScaleRounding.UP:
        raise ValueError(
            f"scale_rounding is {scheme.rules.scale_rounding} and {what}: the ratio of a small scale to the largest "
            "would be rounded to zero; use up"
        )


def _what(scheme: TensorScheme) -> str:
    if scheme.global_scale_dtype is None:
        return f"scale_dtype is {scheme.scale_dtype}"
    return f"global_scale_dtype is {scheme.global_scale_dtype}"
