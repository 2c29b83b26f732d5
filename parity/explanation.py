"""What an explanation says: which decisions, with both lanes' values, make one lane's bits the other's."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, NamedTuple

_SHOWN: Final = 3


class Cause(NamedTuple):
    """One decision in which two lanes differ: its field, lane A's value and lane B's."""

    field: str
    value_a: str
    value_b: str

    def __str__(self) -> str:
        return f"{self.field}: {self.value_a} against {self.value_b}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """Why two lanes part, as far as it can be shown.

    causes = the smallest set of decisions under which lane A gives lane B's bits at every stage, in every case that was
    tried; undetermined = other sets, as small, that do the same. Where no set does, causes is empty and explained, the
    share of the differing elements that the best one reproduces, is below 1.
    inherited = the stages that lane B gets as lane A has them once it is given A's value of `given`: of first_stage, or
    the weights that A has trained where the lanes have trained theirs apart.
    right = the lane that follows the declaration at first_stage, where both declare one scheme and one of them does.
    script = lines of torch alone that show the first element that differs, None where there is more to it than those.
    """

    cell: str
    edge: str
    causes: tuple[Cause, ...]
    undetermined: tuple[tuple[Cause, ...], ...]
    explained: float
    first_stage: str | None
    given: str = ""
    inherited: tuple[str, ...] = ()
    right: str | None = None
    reason: str = ""
    script: str | None = None

    @property
    def cause(self) -> str:
        """The decisions as a record and its signature hold them; "" where none reproduces the difference."""
        return _told(self.causes)

    @property
    def sentence(self) -> str:
        """`weight.codes first; explained by code_division: divide against reciprocal_multiply`."""
        if self.first_stage is None:
            return self.reason
        if not self.causes:
            share = f"{100 * self.explained:.1f} % of the differing elements are reproduced"
            return f"{self.first_stage} first; unexplained: {self.reason or 'no decision reproduces it'}; {share}"
        return cause_sentence(self.first_stage, _told(self.causes)) + self._others()

    def _others(self) -> str:
        """What each other set has that the first has not; three of them, and how many more."""
        told = [_told(tuple(cause for cause in causes if cause not in self.causes)) for causes in self.undetermined]
        more = f"; {len(told) - _SHOWN} more sets do the same" if len(told) > _SHOWN else ""
        return "".join(f"; as well with {text}" for text in told[:_SHOWN]) + more


def cause_sentence(first_stage: str, cause: str) -> str:
    """`weight.codes first; explained by code_division: divide against reciprocal_multiply`, wherever that is said.

    cause = the decisions as a record's signature holds them, "" where none was sought or found.
    """
    return f"{first_stage} first; explained by {cause}" if cause else f"{first_stage} first; no cause is recorded"


def _told(causes: tuple[Cause, ...]) -> str:
    return " and ".join(map(str, causes))
