"""The score: every mutant of the rules, of the product, of comparators, judges and ledgers, and what catches it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from parity.mutation import Mutation
from quant import Rules
from suites.meta import comparators, judges, ledgers
from suites.meta.catching import ACTS_IN, CATCHING, EVERYWHERE
from suites.meta.equivalent import EQUIVALENT
from suites.meta.mutants import MUTANTS, Mutant
from suites.meta.planting import Place, seen


def catching_place(mutant: Mutant) -> Place | None:
    """The first place of the mutant's field at which it is seen in every flow in which the field acts."""
    acts_in = ACTS_IN.get(mutant.field, EVERYWHERE)
    return next((place for place in CATCHING.get(mutant.field, ()) if seen(mutant, place) == acts_in), None)


def mutations() -> Iterator[Mutation]:
    """A row for each mutant, in order."""
    yield from map(mutation_of, MUTANTS)
    yield from policies()


def mutation_of(mutant: Mutant) -> Mutation:
    """One decision at another value, and where it is caught."""
    place = catching_place(mutant)
    return Mutation(
        kind="rules" if mutant.owner is Rules else "product",
        name=mutant.name,
        caught_by="" if place is None else f"{place.ground}: {place.cell}",
        proof="" if place is not None else EQUIVALENT.get(mutant.name, ""),
    )


def policies() -> Iterator[Mutation]:
    """The wrong comparators, judges and ledgers, and the pair of its battery that each fails first."""
    yield from _policies("comparator", comparators.COMPARATORS, comparators.failures)
    yield from _policies("judge", judges.JUDGES, judges.failures)
    yield from _policies("ledger", ledgers.ROWS, lambda wrong: ledgers.failures(row=wrong))
    yield from _policies("ledger", ledgers.SETTLINGS, lambda wrong: ledgers.failures(settling=wrong))


def _policies(kind: str, wrongs: tuple[Any, ...], failures: Callable[[Any], list[int]]) -> Iterator[Mutation]:
    for wrong in wrongs:
        found = failures(wrong)
        caught_by = f"pair {found[0] + 1} of its battery" if found else ""
        yield Mutation(kind=kind, name=wrong.__name__.replace("_", " "), caught_by=caught_by)
