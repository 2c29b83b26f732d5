"""Which rules moved between two revisions: what their named sets declare, and what reproduces the baseline's bits."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

# Named rule sets as plain text: set -> field -> value.
Declared = Mapping[str, Mapping[str, str]]


class Flipped(NamedTuple):
    """One field of one named set, before and after."""

    rules: str
    field: str
    before: str
    after: str

    def __str__(self) -> str:
        return f"{self.rules}.{self.field}: {self.before} before, {self.after} now"


@dataclass(frozen=True, slots=True, kw_only=True)
class RuleMove:
    """Rules that moved together.

    tried = (cell, lane) samples that were run again under the values before, confirmed = those that then gave the
    baseline's bits at every stage; declared = the named sets themselves say so, or else only the bits do.
    """

    flips: tuple[Flipped, ...]
    declared: bool
    tried: int
    confirmed: int

    @property
    def told(self) -> str:
        """`engine.code_division: divide before, reciprocal_multiply now (declared; reproduces 8 of 8 samples)`."""
        how = "declared" if self.declared else "not declared, but its value before gives the baseline's bits"
        if not self.tried:
            return f"{' and '.join(map(str, self.flips))} ({how}; no moved cell to try it on)"
        return f"{' and '.join(map(str, self.flips))} ({how}; reproduces {self.confirmed} of {self.tried} samples)"


def declared_moves(before: Declared, after: Declared) -> tuple[Flipped, ...]:
    """Every field that both revisions declare and with other values, in the order of the sets and fields."""
    return tuple(
        Flipped(rules, field, before[rules][field], value)
        for rules, values in after.items()
        if rules in before
        for field, value in values.items()
        if field in before[rules] and before[rules][field] != value
    )
