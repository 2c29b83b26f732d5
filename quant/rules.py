"""How one tensor's scheme is carried out, every decision that can move a bit a field with a closed set of values."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from enum import StrEnum
from functools import cache
from typing import Any

import torch

from quant import decisions as d
from quant.eps import EpsOf, EpsProperty, PropertyDtype

# Fields of `Rules` that are not decisions: they say what an unresolved scheme defaults to, or what is refused.
POLICY_FIELDS = ("default_eps", "default_scale_dtype", "refuse_lossy")

_SMALLEST_NORMAL_OF_INPUT = EpsOf(EpsProperty.SMALLEST_NORMAL, PropertyDtype.INPUT)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """Every numeric decision of choose_qparams, quantize, dequantize and their gradient, in the order they act.

    The defaults are torchao 0.18 on CPU. Three fields are policy, not arithmetic: `default_eps` and
    `default_scale_dtype` ("model" = the tensor's dtype) are what a scheme that names none resolves to, and
    `refuse_lossy` says whether a scheme whose values its dtypes cannot hold is an error or is computed all the same.

    Raises ValueError when a field holds no member of its enumeration, or when two fields exclude each other.
    """

    range_nan: d.RangeNan = d.RangeNan.PROPAGATE
    mean_accumulate: d.MeanAccumulate = d.MeanAccumulate.NATIVE
    qparam_dtype: d.QparamDtype = d.QparamDtype.INPUT
    symmetric_scale: d.SymmetricScale = d.SymmetricScale.HALF_SPAN
    scalar_division: d.ScalarDivision = d.ScalarDivision.DIVIDE
    eps_target: d.EpsTarget = d.EpsTarget.SCALE
    eps_order: d.EpsOrder = d.EpsOrder.BEFORE_STORAGE
    scale_rounding: d.ScaleRounding = d.ScaleRounding.NEAREST_EVEN
    scale_overflow: d.ScaleOverflow = d.ScaleOverflow.INFINITE
    zero_scale: d.ZeroScale = d.ZeroScale.KEEP
    zero_scale_at: d.ZeroScaleAt = d.ZeroScaleAt.STORED

    zero_point_scale: d.ZeroPointScale = d.ZeroPointScale.UNROUNDED
    zero_point_division: d.ZeroPointDivision = d.ZeroPointDivision.DIVIDE
    zero_point_rule: d.ZeroPointRule = d.ZeroPointRule.FROM_MIN
    zero_point_round_order: d.ZeroPointRoundOrder = d.ZeroPointRoundOrder.ROUND_FIRST
    zero_point_rounding: d.ZeroPointRounding = d.ZeroPointRounding.HALF_EVEN
    zero_point_clamp: d.ZeroPointClamp = d.ZeroPointClamp.CLAMP
    float_zero_point: d.FloatZeroPoint = d.FloatZeroPoint.MIN_PLUS_MID
    zero_point_cast: d.ZeroPointCast = d.ZeroPointCast.TRUNCATE
    zero_point_offset: d.ZeroPointOffset = d.ZeroPointOffset.NONE

    code_scale: d.ScaleSource = d.ScaleSource.STORED
    code_dtype: d.CodeDtype = d.CodeDtype.PROMOTED
    code_division: d.CodeDivision = d.CodeDivision.RECIPROCAL_MULTIPLY
    reciprocal_dtype: d.ReciprocalDtype = d.ReciprocalDtype.SCALE
    float_code_division: d.FloatCodeDivision = d.FloatCodeDivision.DIVIDE
    float_code_origin: d.FloatCodeOrigin = d.FloatCodeOrigin.ZERO_POINT
    code_rounding: d.CodeRounding = d.CodeRounding.HALF_EVEN
    zero_point_add: d.ZeroPointAdd = d.ZeroPointAdd.AFTER_ROUND
    zero_point_add_dtype: d.ZeroPointAddDtype = d.ZeroPointAddDtype.PROMOTED
    code_clamp: d.CodeClamp = d.CodeClamp.AFTER_ROUND
    clamp_bound: d.ClampBound = d.ClampBound.ROUNDED
    code_cast: d.CodeCast = d.CodeCast.NONE
    nan_code: d.NanCode = d.NanCode.ZERO

    dequantize_scale: d.ScaleSource = d.ScaleSource.STORED
    subtract_dtype: d.SubtractDtype = d.SubtractDtype.OUTPUT
    rescale_dtype: d.RescaleDtype = d.RescaleDtype.PROMOTED
    float_rescale_dtype: d.RescaleDtype = d.RescaleDtype.PROMOTED
    rescale_intermediate: d.RescaleIntermediate = d.RescaleIntermediate.OUTPUT
    rescale_fusion: d.RescaleFusion = d.RescaleFusion.TWO_ROUNDINGS
    operand_dtype: d.OperandDtype = d.OperandDtype.OUTPUT

    gradient_mask: d.GradientMask = d.GradientMask.ROUNDED
    gradient_product: d.GradientProduct = d.GradientProduct.SCALE_TIMES_RECIPROCAL
    float_gradient_product: d.GradientProduct = d.GradientProduct.SCALE_OVER_SCALE
    float64_cast: d.Float64Cast = d.Float64Cast.THROUGH_FLOAT32
    subnormals: d.Subnormals = d.Subnormals.KEEP

    default_eps: EpsOf = _SMALLEST_NORMAL_OF_INPUT
    default_scale_dtype: torch.dtype | str = "model"
    refuse_lossy: bool = False

    def __post_init__(self) -> None:
        check_members(self)
        for excluded, sentence in _EXCLUSIONS:
            if excluded(self):
                raise ValueError(sentence.format(rules=self))

    @classmethod
    def decisions(cls) -> tuple[str, ...]:
        """Names of the fields that can move a bit, in the order they act."""
        return tuple(f.name for f in fields(cls) if f.name not in POLICY_FIELDS)

    def differences(self, other: Rules) -> tuple[tuple[str, str, str], ...]:
        """(field, value here, value there) of every decision in which the two differ."""
        return tuple(
            (name, getattr(self, name), getattr(other, name))
            for name in self.decisions()
            if getattr(self, name) != getattr(other, name)
        )

    def with_values(self, **values: str) -> Rules:
        """These rules with some decisions changed, given as members or as their text: `code_division="divide"`."""
        return replace(self, **parse_members(type(self), values))


@cache
def enumeration_of(cls: type, field_name: str) -> type[StrEnum]:
    """The enumeration whose members a field of a rules class may hold."""
    known: dict[str, Any] = {f.name: f.default for f in fields(cls)}
    if field_name not in known or not isinstance(known[field_name], StrEnum):
        names = ", ".join(name for name, default in known.items() if isinstance(default, StrEnum))
        raise ValueError(f"{cls.__name__} has no decision {field_name!r}; its decisions are {names}")
    enumeration: type[StrEnum] = type(known[field_name])
    return enumeration


def parse_members(cls: type, values: dict[str, str]) -> dict[str, Any]:
    """Texts turned into members of the fields' enumerations; ValueError names the field and its legal values."""
    parsed = {}
    for name, value in values.items():
        enumeration = enumeration_of(cls, name)
        try:
            parsed[name] = enumeration(str(value).lower())
        except ValueError:
            legal = ", ".join(member.value for member in enumeration)
            raise ValueError(f"{name} is {value!r}; its values are {legal}") from None
    return parsed


def check_members(rules: object) -> None:
    """Raise ValueError unless every enumerated field of `rules` holds a member of its own enumeration."""
    for f in fields(rules):  # type: ignore[arg-type]  # any of the two rules dataclasses
        if isinstance(f.default, StrEnum) and type(getattr(rules, f.name)) is not type(f.default):
            legal = ", ".join(str(member) for member in type(f.default))
            raise ValueError(
                f"{f.name} is {getattr(rules, f.name)!r}; it must be a {type(f.default).__name__}, one of {legal}"
            )


# Pairs of decisions that contradict each other whatever the scheme, each with its sentence.
_EXCLUSIONS: tuple[tuple[Callable[[Rules], bool], str], ...] = (
    (
        lambda r: r.eps_order == d.EpsOrder.AFTER_STORAGE and r.eps_target != d.EpsTarget.SCALE,
        "eps_order is after_storage and eps_target is {rules.eps_target}: only a scale can be bounded after storage; "
        "use eps_target scale, or eps_order before_storage",
    ),
    (
        lambda r: r.zero_scale_at == d.ZeroScaleAt.USE and r.zero_scale == d.ZeroScale.KEEP,
        "zero_scale_at is use and zero_scale is keep: there is no replacement to use; choose zero_scale one, tenth or "
        "min_positive, or zero_scale_at stored",
    ),
    (
        lambda r: r.zero_point_add == d.ZeroPointAdd.BEFORE_ROUND_FMA and r.code_division == d.CodeDivision.DIVIDE,
        "zero_point_add is before_round_fma and code_division is divide: fma(x, 1/s, z) multiplies by the reciprocal; "
        "use code_division reciprocal_multiply",
    ),
    (
        lambda r: (
            r.rescale_fusion != d.RescaleFusion.TWO_ROUNDINGS and r.rescale_intermediate == d.RescaleIntermediate.OUTPUT
        ),
        "rescale_fusion is {rules.rescale_fusion} and rescale_intermediate is output: a fused multiply-add has no "
        "intermediate to round; use rescale_intermediate keep",
    ),
    (
        lambda r: (
            r.gradient_product == d.GradientProduct.SCALE_TIMES_RECIPROCAL and r.code_division == d.CodeDivision.DIVIDE
        ),
        "gradient_product is scale_times_reciprocal and code_division is divide: there is no reciprocal to multiply "
        "by; use gradient_product identity or scale_over_scale",
    ),
    (
        lambda r: (
            r.float_gradient_product == d.GradientProduct.SCALE_TIMES_RECIPROCAL
            and r.float_code_division == d.FloatCodeDivision.DIVIDE
        ),
        "float_gradient_product is scale_times_reciprocal and float_code_division is divide: the float domain takes no "
        "reciprocal to multiply by; use float_gradient_product identity or scale_over_scale",
    ),
)
