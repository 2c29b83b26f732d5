"""One bug as two lanes: a scheme, and what the other lane carried out in its place."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any, Final

import torch
from torch import nn

from parity.compare import LaneLike, compare
from parity.comparison import Comparison
from parity.explanation import Cause
from parity.flips import differences, field_text, forward_only, value_text
from parity.history.black_box import CarriedOut, Spoil
from parity.layer_cases import COLUMNS, ROWS, Recipe
from quant import ProductRules, QuantScheme, Rules, TensorScheme

Changes = Mapping[str, Any]
Causes = frozenset[tuple[str, str, str]]
Lanes = tuple[LaneLike, LaneLike]

NOTHING: Final[Changes] = {}


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class HistoryCase:
    """Lane A carries out `scheme`, lane B the same with what `weight`, `activation` and `layer` say instead.

    Keys are fields of Rules and TensorScheme for an operand, of ProductRules and QuantScheme for the layer.
    spoiled = what becomes of a stage of lane B where no decision is behind the bug; such a case has no cause.
    dtype = of weight and input; first_stage = where the lanes part. `embedding`: the layer is an nn.Embedding.
    alike = fields that can give lane B's bits as well as those that differ, whatever the inputs, and why.
    """

    name: str
    origin: str
    told: str
    scheme: QuantScheme
    dtype: torch.dtype
    first_stage: str
    weight: Changes = field(default_factory=dict)
    activation: Changes = field(default_factory=dict)
    layer: Changes = field(default_factory=dict)
    spoiled: Mapping[str, Spoil] = field(default_factory=dict)
    output_dtype: torch.dtype | None = None
    embedding: bool = False
    alike: Mapping[str, str] = field(default_factory=dict)

    @property
    def theirs(self) -> QuantScheme:
        """What lane B carries out. Raises ValueError where that is no scheme."""
        own = self.scheme
        activation = own.activation
        rules = {name: value for name, value in self.layer.items() if name in ProductRules.decisions()}
        return replace(
            own,
            weight=_changed(own.weight, self.weight),
            activation=None if activation is None else _changed(activation, self.activation),
            product=own.product.with_values(**rules),
            **{name: value for name, value in self.layer.items() if name not in rules},
        )

    @property
    def causes(self) -> Causes:
        """The decisions in which the lanes differ, as an explanation writes them; none where lane B is spoiled."""
        return scheme_causes(self)

    @property
    def lanes(self) -> Lanes:
        """A, and B as a black box."""
        spoiled = dict(self.spoiled)
        if self.output_dtype is not None:
            spoiled["output"] = lambda output: output.to(self.output_dtype)
        return "engine:ptq", CarriedOut(scheme=self.theirs, spoiled=spoiled)

    def compared(
        self, family: str = "directed", *, seed: int = 0, dtype: torch.dtype | None = None, swapped: bool = False
    ) -> Comparison:
        """Both lanes on one layer whose inputs are of that family; B is a black box, of which only bits are seen."""
        of = dtype or self.dtype
        module = None
        if self.embedding:
            recipe = Recipe(family=family, seed=seed, dtype=of, schemes=(self.scheme, self.theirs))
            module = nn.Embedding.from_pretrained(recipe.weight(ROWS, COLUMNS))
        a, b = reversed(self.lanes) if swapped else self.lanes
        return compare(a, b, self.scheme, dtype=of, inputs=family, seed=seed, module=module)


def scheme_causes(case: HistoryCase) -> Causes:
    """The decisions in which the schemes of a case's lanes differ."""
    a, b, dtype = case.scheme, case.theirs, case.dtype
    found = _tensor_causes(a.weight, b.weight, dtype)
    if a.activation is not None and b.activation is not None:
        found |= _tensor_causes(a.activation, b.activation, dtype)
    found |= {
        Cause(name, getattr(a.product, name), getattr(b.product, name))
        for name in ProductRules.decisions()
        if getattr(a.product, name) != getattr(b.product, name)
    }
    dtypes = a.resolved_output_dtype(dtype), case.output_dtype or b.resolved_output_dtype(dtype)
    if dtypes[0] is not dtypes[1]:
        found |= {Cause("scheme.output_dtype", *map(value_text, dtypes))}
    return found


def _changed(scheme: TensorScheme, changes: Changes) -> TensorScheme:
    values = {f.name for f in fields(TensorScheme)}
    rules = scheme.rules.with_values(**{name: value for name, value in changes.items() if name not in values})
    return replace(scheme, rules=rules, **{name: value for name, value in changes.items() if name in values})


def _tensor_causes(a: TensorScheme, b: TensorScheme, dtype: torch.dtype) -> Causes:
    one, other = (forward_only(scheme.resolved(dtype)) for scheme in (a, b))
    return frozenset(Cause(flip.field, field_text(one, flip.field), flip.value) for flip in differences(one, other))


assert not {f.name for f in fields(Rules)} & {f.name for f in fields(TensorScheme)}, "a key must name one thing"
