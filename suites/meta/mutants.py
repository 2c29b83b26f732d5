"""A mutant = one decision at another of its values: every field of Rules and of ProductRules, every value.

A ground is what a mutant grows on: a named rule set, with the values beside which some mutants alone are legal.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

import torch

from parity.cells import parse_cell
from parity.schemes import scheme_of
from quant import ProductRules, QuantScheme, Rules, TensorScheme, rules_named
from quant.rules import enumeration_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Ground:
    """A named rule set, and what is changed in it before any mutant is: decisions of operands and of the product, and
    values of the weight's scheme that no axis has.
    """

    rules: str
    operands: Mapping[str, str] = field(default_factory=dict)
    product: Mapping[str, str] = field(default_factory=dict)
    weight: Mapping[str, Any] = field(default_factory=dict)

    def decided(self, owner: type[Rules] | type[ProductRules]) -> Rules | ProductRules:
        """Its decisions, of an operand or of the product."""
        rules, product = rules_named(self.rules)
        return product.with_values(**self.product) if owner is ProductRules else rules.with_values(**self.operands)

    def scheme(self, cell: str) -> QuantScheme:
        """What an honest lane carries out on a cell."""
        own = scheme_of(parse_cell(cell), self.rules)
        own = replace(own, weight=replace(own.weight, **self.weight))
        return _with_product(_with_rules(own, self.operands), self.product)


# Under rules that keep float codes the flows part by themselves where codes or zero points do not survive their dtypes.
_INTEGER: Final = {"code_cast": "integer"}
_16_BITS: Final[Mapping[str, Any]] = {"bits": 16, "qmin": -32768, "qmax": 32767, "zero_point_dtype": torch.int32}

# Just above the middle of two bf16 numbers, by less than fp32 holds: rounded to fp32 first, it is that middle.
_BESIDE_A_TIE: Final = 2.0**-7 * (1 + 2.0**-8 + 2.0**-30)

GROUNDS: Final[Mapping[str, Ground]] = {
    "engine": Ground(rules="engine"),
    "torchao": Ground(rules="torchao"),
    "straight_through": Ground(rules="torchao", operands={"gradient_product": "identity"}),
    "float_reciprocal": Ground(rules="torchao", operands=_INTEGER | {"float_code_division": "reciprocal_multiply"}),
    "replaced_scales": Ground(rules="torchao", operands={"zero_scale": "tenth", "eps_target": "none"}),
    "without_eps": Ground(rules="torchao", operands=_INTEGER | {"eps_target": "none"}),
    "unclamped": Ground(rules="torchao", operands={"code_clamp": "none"}),
    "cut_zero_points": Ground(rules="torchao", operands=_INTEGER, weight={"zero_point_dtype": torch.int32}),
    "wide_codes": Ground(rules="torchao", operands=_INTEGER, weight=_16_BITS),
    "wide_codes_under_float_zero_points": Ground(
        rules="torchao", operands=_INTEGER, weight=_16_BITS | {"zero_point_dtype": torch.float32}
    ),
    "wide_engine": Ground(rules="engine", weight=_16_BITS),
    "integer_codes": Ground(rules="torchao", operands=_INTEGER),
    "kept_intermediates": Ground(rules="torchao", operands=_INTEGER | {"rescale_intermediate": "keep"}),
    "exact_bounds": Ground(rules="torchao", operands=_INTEGER | {"clamp_bound": "exact"}, weight=_16_BITS),
    "float64_qparams": Ground(rules="engine", operands={"qparam_dtype": "float64"}),
    "torchao_float64_qparams": Ground(rules="torchao", operands=_INTEGER | {"qparam_dtype": "float64"}),
    "eps_between_floats": Ground(rules="engine", operands={"qparam_dtype": "input"}, weight={"eps": _BESIDE_A_TIE}),
    "torchao_eps_between_floats": Ground(rules="torchao", weight={"eps": _BESIDE_A_TIE}),
    "late_bias": Ground(rules="engine", product={"bias_add": "after_output_cast"}),
    "codes": Ground(
        rules="engine", product={"product_operands": "codes", "accumulate": "int32", "bias_add": "after_output_cast"}
    ),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Mutant:
    """field = value in place of what the ground has; along = what has to change with it to be legal."""

    owner: type[Rules] | type[ProductRules]
    field: str
    value: str
    along: Mapping[str, str] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """`code_division=divide`."""
        return f"{self.field}={self.value}"

    def of(self, scheme: QuantScheme) -> QuantScheme:
        """The scheme as the mutant has it: both operands, or the one on which it is legal.

        Raises ValueError where it is legal on neither, or no mutant because the value is what the scheme has.
        """
        own = scheme.product if self.owner is ProductRules else scheme.weight.rules
        if getattr(own, self.field) == self.value:
            raise ValueError(f"{self.name} is what the scheme has already")
        changes = {self.field: self.value, **self.along}
        return _with_product(scheme, changes) if self.owner is ProductRules else _with_rules(scheme, changes)


# Values that only another change makes legal: an integer sum is of codes, and codes have no other.
_ALONG: Final[Mapping[tuple[str, str], Mapping[str, str]]] = {
    ("product_operands", "codes"): {"accumulate": "int32", "bias_add": "after_output_cast"},
    ("product_operands", "dequantized"): {"accumulate": "exact", "code_product_rescale": "scales_first"},
    ("accumulate", "int32"): {"product_operands": "codes", "bias_add": "after_output_cast"},
}


def _is_another_value(owner: type[Rules] | type[ProductRules], name: str, value: str) -> bool:
    """Whether some ground has another value than this one."""
    return any(getattr(ground.decided(owner), name) != value for ground in GROUNDS.values())


def _with_product(scheme: QuantScheme, changes: Mapping[str, str]) -> QuantScheme:
    return replace(scheme, product=scheme.product.with_values(**changes))


def _with_rules(scheme: QuantScheme, changes: Mapping[str, str]) -> QuantScheme:
    """Both operands with other rules, or one where the other excludes them. Raises ValueError where both do."""
    weight = _legal(scheme.weight, changes)
    activation = None if scheme.activation is None else _legal(scheme.activation, changes)
    if weight is None and activation is None:
        raise ValueError(f"no operand of the scheme can have {dict(changes)}")
    return replace(scheme, weight=weight or scheme.weight, activation=activation or scheme.activation)


def _legal(tensor: TensorScheme, changes: Mapping[str, str]) -> TensorScheme | None:
    try:
        return replace(tensor, rules=tensor.rules.with_values(**changes))
    except ValueError:
        return None


MUTANTS: Final = tuple(
    Mutant(owner=owner, field=name, value=member.value, along=_ALONG.get((name, member.value), {}))
    for owner in (Rules, ProductRules)
    for name in owner.decisions()
    for member in enumeration_of(owner, name)
    if _is_another_value(owner, name, member.value)
)
