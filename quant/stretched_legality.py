"""What a stretched grid must have and no other may, and which ranges a mapping can take: each with its sentence."""

from __future__ import annotations

from typing import TYPE_CHECKING

from quant import decisions as d
from quant.mapping import Extent, Mapping, ZeroPointDomain

if TYPE_CHECKING:
    from quant.scheme import TensorScheme


def check_extent(scheme: TensorScheme) -> None:
    """A range of means reaches to both sides of zero alike, and is summed in a dtype that its rules can round to."""
    if scheme.extent is Extent.MIN_MAX:
        return
    if scheme.mapping not in (Mapping.SYMMETRIC, Mapping.STRETCHED):
        raise ValueError(
            f"extent is {scheme.extent} and mapping is {scheme.mapping}: a mean of magnitudes reaches to both sides of "
            "zero alike; use mapping symmetric or stretched, or extent min_max"
        )
    exact = scheme.rules.mean_accumulate is d.MeanAccumulate.EXACT
    if exact and scheme.rules.qparam_dtype is d.QparamDtype.FLOAT64:
        raise ValueError(
            "mean_accumulate is exact and qparam_dtype is float64: an exact mean is rounded once to at most 24 bits; "
            "use qparam_dtype float32, or another mean_accumulate"
        )


def check_stretched(scheme: TensorScheme) -> None:
    """Half-integer bounds, a zero point of -1/2 and limits on the input belong together."""
    rules, limits = scheme.rules, scheme.rules.code_clamp is d.CodeClamp.INPUT_LIMITS
    if scheme.mapping is not Mapping.STRETCHED:
        if limits:
            raise ValueError(
                f"code_clamp is input_limits and mapping is {scheme.mapping}: only a stretched grid is symmetric about "
                "the input's zero; use after_round"
            )
        return
    if scheme.zero_point_domain is not ZeroPointDomain.INT:
        raise ValueError(
            f"mapping is stretched and zero_point_domain is {scheme.zero_point_domain}: its zero point is the code "
            "-1/2; use the int domain"
        )
    if scheme.zero_point_dtype != "model" and not getattr(scheme.zero_point_dtype, "is_floating_point", False):
        raise ValueError(
            f"mapping is stretched and zero_point_dtype is {scheme.zero_point_dtype}: an integer dtype would cut the "
            "zero point -1/2 to 0; use 'model' or a floating dtype"
        )
    for field, value, wanted in (
        ("code_clamp", rules.code_clamp, d.CodeClamp.INPUT_LIMITS),
        ("zero_point_add", rules.zero_point_add, d.ZeroPointAdd.BEFORE_ROUND),
    ):
        if value is not wanted:
            raise ValueError(
                f"mapping is stretched and {field} is {value}: codes of a grid of halves are whole only where the zero "
                f"point is added to a limited quotient and then rounded; use {wanted}"
            )
    if rules.subtract_dtype is d.SubtractDtype.INT32:
        raise ValueError(
            "mapping is stretched and subtract_dtype is int32: the zero point -1/2 would be cut to 0; use output or "
            "float32"
        )
