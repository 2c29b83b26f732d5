"""Defects to plant: each one wrong decision of the engine, the cell that shows it, and the stage where it must show."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import torch

from quant import EpsOf, EpsProperty, PropertyDtype, QuantScheme

Change = Callable[[QuantScheme], QuantScheme]


@dataclass(frozen=True, slots=True, kw_only=True)
class Defect:
    """`change` is what one flow, or all of them, wrongly carries out; `stage` is where it is first seen."""

    name: str
    change: Change
    cell: str
    stage: str


def weight(**values: Any) -> Change:
    """A change of the weight's scheme."""
    return lambda scheme: replace(scheme, weight=replace(scheme.weight, **values))


def activation(**values: Any) -> Change:
    """A change of the activation's scheme."""
    return lambda scheme: replace(scheme, activation=replace(scheme.activation, **values))


def weight_rules(**values: str) -> Change:
    """A change of the weight's rules."""
    return lambda scheme: replace(
        scheme, weight=replace(scheme.weight, rules=scheme.weight.rules.with_values(**values))
    )


def activation_rules(**values: str) -> Change:
    """A change of the activation's rules."""

    def change(scheme: QuantScheme) -> QuantScheme:
        assert scheme.activation is not None
        rules = scheme.activation.rules.with_values(**values)
        return replace(scheme, activation=replace(scheme.activation, rules=rules))

    return change


def product(**values: str) -> Change:
    """A change of the product's rules."""
    return lambda scheme: replace(scheme, product=scheme.product.with_values(**values))


BF16_EPS = EpsOf(EpsProperty.EPS, PropertyDtype.BFLOAT16)
FLOAT_DOMAIN = "preset:int4_weight_only,dtype:bf16"

DEFECTS = (
    Defect(name="eps-of-another-dtype", change=weight(eps=BF16_EPS), cell="default", stage="weight.scale"),
    Defect(name="activation-eps", change=activation(eps=BF16_EPS), cell="default", stage="input.scale"),
    Defect(
        name="scale-kept-in-another-dtype",
        change=activation(scale_dtype=torch.bfloat16),
        cell="dtype:bf16",
        stage="input.scale",
    ),
    Defect(
        name="range-not-widened", change=activation(preserve_zero=False), cell="family:one_sided", stage="input.scale"
    ),
    Defect(
        name="scalar-division-by-reciprocal",
        change=weight_rules(scalar_division="reciprocal_multiply"),
        cell="default",
        stage="weight.scale",
    ),
    Defect(name="scale-over-qmax", change=weight_rules(symmetric_scale="qmax"), cell="default", stage="weight.scale"),
    Defect(
        name="scale-rounded-up",
        change=weight_rules(scale_rounding="up"),
        cell="dtype:bf16,scale:bf16",
        stage="weight.scale",
    ),
    Defect(
        name="zero-point-from-the-other-end",
        change=activation_rules(zero_point_rule="from_max"),
        cell="default",
        stage="input.zero_point",
    ),
    Defect(
        name="zero-point-from-the-unrounded-scale",
        change=activation_rules(zero_point_scale="unrounded"),
        cell="dtype:bf16,ascale:bf16,family:ties,case:1",
        stage="input.zero_point",
    ),
    Defect(
        name="codes-by-reciprocal",
        change=weight_rules(code_division="reciprocal_multiply"),
        cell="default",
        stage="weight.codes",
    ),
    Defect(name="half-away", change=weight_rules(code_rounding="half_away"), cell="family:ties", stage="weight.codes"),
    Defect(
        name="zero-point-added-before-rounding",
        change=activation_rules(zero_point_add="before_round"),
        cell="family:ties",
        stage="input.codes",
    ),
    Defect(name="no-clamp", change=weight_rules(code_clamp="none"), cell="default", stage="weight.codes"),
    Defect(
        name="nan-becomes-qmax",
        change=weight_rules(nan_code="qmax"),
        cell="family:specials",
        stage="weight.codes",
    ),
    Defect(
        name="rescaled-in-the-output-dtype",
        change=weight_rules(rescale_dtype="output"),
        cell="dtype:bf16",
        stage="weight.dequantized",
    ),
    Defect(
        name="float-domain-rounded-twice",
        change=weight_rules(rescale_intermediate="output"),
        cell=FLOAT_DOMAIN,
        stage="weight.dequantized",
    ),
    Defect(
        name="sequential-accumulation",
        change=product(accumulate="float32_sequential"),
        cell="family:random",
        stage="output",
    ),
    Defect(name="bias-after-the-cast", change=product(bias_add="after_output_cast"), cell="dtype:bf16", stage="output"),
    Defect(name="bias-dropped", change=product(bias_add="none"), cell="family:random", stage="output"),
)
