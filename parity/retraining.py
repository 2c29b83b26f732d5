"""retraining = the parameters that lane A's scheme trains under flips, held against those that lane B has trained.

What the forward stages show to differ (a code, a range) is retrained with; where that does not give lane B's weights,
the decisions on gradients, which no forward stage shows, are tried beside it, the fewest changes first.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import product
from typing import Final

import torch
from torch import Tensor

from parity.backends.engine import EngineBackend
from parity.bits import bits
from parity.candidates import Candidates, product_flipped, reproduces
from parity.flips import Flip, Flips, flipped, rule_flip
from parity.gradient_candidates import FIELDS
from parity.lanes import Flow, Lane
from parity.pair import Case, Pair
from quant import QuantScheme, Rules, TensorScheme
from quant.granularity import Stacked
from quant.relevance import relevant
from quant.rule_sets import RULE_SETS
from quant.rules import enumeration_of

# One set of flips for each part of a pair: (part, flips), ...
Combination = tuple[tuple[Candidates, Flips], ...]
# How many sets, of the parts and of gradients, are retrained with on one case before it is given up.
_TRIED: Final = 200
_LANE: Final = Lane(backend="engine", flow=Flow.QAT_PREPARE)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Retraining:
    """What a pair of lanes trained. flips act on what A trains under, or on nothing where a lane trains apart from what
    it carries out: then both must have trained alike.
    """

    pair: Pair
    dtype: torch.dtype

    @classmethod
    def of(cls, pair: Pair) -> Retraining | None:
        """None where nothing was trained."""
        return cls(pair=pair, dtype=pair.cases[0].weight.dtype) if pair.steps else None

    def reproduces(self, combination: Combination, gradient: Flips = (), case: int | None = None) -> bool:
        """Whether lane B's weight and bias come out, bit for bit, of one case or of all."""
        try:
            scheme = self._scheme(combination, gradient)
            chosen = range(len(self.pair.cases)) if case is None else (case,)
            return all(_same(self._trained(i, scheme), self.pair.b.cases[i]) for i in chosen)
        except ValueError:
            return False
        except RuntimeError:  # autograd refuses a lookup whose weight no gradient reaches
            return False

    def reproducing(self, combinations: Sequence[Combination]) -> list[tuple[Combination, Flips]]:
        """Those that reproduce every case, each with the flips of gradients that it takes; the fewest flips alone."""
        tried = sorted(self._with_gradients(combinations), key=_size)[:_TRIED]
        witness = self._witness()
        found: list[tuple[Combination, Flips]] = []
        for each in tried:
            if found and _size(each) > _size(found[0]):
                break
            if self.reproduces(*each, case=witness) and self.reproduces(*each):
                found.append(each)
        return found or [(combinations[0], extra) for extra in self._joint(combinations[0])][:1]

    def value(self, field: str) -> str:
        """What lane A trains its weight under."""
        return str(getattr(self.pair.a.training.weight.rules, field))

    def gradient_flips(self, known: Sequence[tuple[str, str]]) -> Flips:
        """Those of (field, value) pairs that are decisions on gradients."""
        return tuple(rule_flip(field, enumeration_of(Rules, field)(value)) for field, value in known if field in FIELDS)

    def _witness(self) -> int:
        """A case whose weights the lanes trained unlike, or the first."""
        unlike = (i for i, a in enumerate(self.pair.a.cases) if not _same(a, self.pair.b.cases[i]))
        return next(unlike, 0)

    def _with_gradients(self, combinations: Sequence[Combination]) -> Iterator[tuple[Combination, Flips]]:
        """Each as it is, then with every other setting of the gradient's decisions that act."""
        for combination in combinations:
            try:
                weight = self._scheme(combination, ()).weight
            except ValueError:  # lane A's decisions on gradients exclude these flips, and others may not
                weight = self.pair.a.training.weight
            acting = [field for field in FIELDS if field in relevant(weight.resolved(self.dtype), self.dtype)]
            for values in product(*(enumeration_of(Rules, field) for field in acting)):
                flips = (rule_flip(*each) for each in zip(acting, values, strict=True))
                yield combination, tuple(flip for flip in flips if flip.value != self.value(flip.field))

    def _joint(self, combination: Combination) -> Iterator[Flips]:
        """What lane B's declared rules, or a named set's, change beside a set, as far as it is needed: one decision on
        gradients may exclude what lane A has for another decision.
        """
        told = {flip.field for _, flips in combination for flip in flips}
        own = self.pair.a.training.weight.rules
        for rules in (self.pair.b.training.weight.rules, *RULE_SETS.values()):
            changed = ((field, value) for field, value, _ in rules.differences(own) if field not in told)
            flips = tuple(rule_flip(field, value) for field, value in changed)
            if self._holds(combination, flips):
                for flip in flips:
                    fewer = tuple(other for other in flips if other != flip)
                    flips = fewer if self._holds(combination, fewer) else flips
                yield flips

    def _holds(self, combination: Combination, extra: Flips) -> bool:
        """Whether a set with more flips of the weight gives what was trained, and still the forward stages."""
        weight = ((part, flips) for part, flips in combination if part.stages[0].startswith("weight."))
        forward = tuple(flip for flip in extra if flip.field not in FIELDS)
        return self.reproduces(combination, extra) and all(
            reproduces(part, (*flips, *forward), part.stages[-1]) for part, flips in weight
        )

    def _scheme(self, combination: Combination, gradient: Flips) -> QuantScheme:
        """What lane A trains under, flipped."""
        a, b = self.pair.a, self.pair.b
        scheme = a.training
        if a.training != a.scheme or b.training != b.scheme:
            return scheme
        changes: dict[str, Flips] = {"weight": gradient, "input": (), "output": ()}
        for part, flips in combination:
            owner = part.stages[0].partition(".")
            changes[owner[2] if owner[0] == "grad" else owner[0]] += flips
        activation = scheme.activation
        return product_flipped(
            replace(
                scheme,
                weight=self._flipped(scheme.weight, changes["weight"]),
                activation=None if activation is None else self._flipped(activation, changes["input"]),
            ),
            changes["output"],
        )

    def _flipped(self, scheme: TensorScheme, flips: Flips) -> TensorScheme:
        """The scheme of one operand, not stacked, with these changes. Raises ValueError where they have no meaning."""
        own = replace(scheme, rules=replace(scheme.rules, refuse_lossy=False)).resolved(self.dtype)
        return flipped(own, [_of_one(flip) for flip in flips])

    def _trained(self, i: int, scheme: QuantScheme) -> Case:
        case = self.pair.cases[i]
        return Case(layer=EngineBackend().trained(_LANE, case.layer, case.x, scheme, self.pair.steps), x=case.x)


def trained_apart(pair: Pair) -> bool:
    """Whether the lanes trained unlike parameters in the case to be explained."""
    return bool(pair.steps) and not _same(pair.a.cases[0], pair.b.cases[0])


def _of_one(flip: Flip) -> Flip:
    """The flip of a stack of tensors, for one of them."""
    changes = ((name, value.inner if isinstance(value, Stacked) else value) for name, value in flip.changes)
    return replace(flip, changes=tuple(changes))


def _same(a: Case, b: Case) -> bool:
    """Whether two cases hold the same parameters."""
    return _equal(a.weight, b.weight) and (a.bias is None or b.bias is None or _equal(a.bias, b.bias))


def _equal(a: Tensor, b: Tensor) -> bool:
    return torch.equal(bits(a.cpu()), bits(b.cpu()))


def _size(each: tuple[Combination, Flips]) -> int:
    """How many fields a set changes."""
    combination, gradient = each
    return len({flip.field for _, flips in combination for flip in flips}) + len(gradient)
