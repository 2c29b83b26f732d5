"""What parity.compare returns: an edge record with every stage that both lanes have, and the record of each lane."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from parity.record import EdgeRecord, LaneRecord
from parity.sentence import sentence
from parity.verdicts import Verdict

if TYPE_CHECKING:
    from parity.pair import Pair

WORST_FIRST: Final = (
    Verdict.NONDETERMINISTIC,
    Verdict.DIVERGED,
    Verdict.CRASHED,
    Verdict.TIMEOUT,
    Verdict.FIXED,
    Verdict.KNOWN,
    Verdict.WITHIN,
    Verdict.UNRUN,
    Verdict.UNSUPPORTED,
    Verdict.IDENTICAL,
)

assert set(WORST_FIRST) == set(Verdict), "every verdict must have its place"


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison(EdgeRecord):
    """Two lanes on one layer: record.verdict, record.first_stage, record.stages["weight.codes"].n_different.

    Unlike a run's record, `stages` holds every common stage also where all are identical. `cell` says what was
    compared, `rerun` is the call that does it again, `pair` runs both lanes once more for their tensors. For a model,
    `layers` maps each layer's name to its record, and everything else is that of the first with the worst verdict.
    """

    lanes: tuple[LaneRecord, LaneRecord]
    rerun: str
    pair: Callable[[], Pair] = field(repr=False, compare=False)
    layers: Mapping[str, Comparison] = field(default_factory=lambda: MappingProxyType({}))

    @property
    def sentence(self) -> str:
        """Where the lanes part: index, both values, both bit patterns."""
        told = sentence(self)
        if not self.layers:
            return told
        same = self.verdict is Verdict.IDENTICAL
        return f"{told} of {len(self.layers)} layers" if same else f"{self.cell}: {told}"


def worst(layers: Mapping[str, Comparison]) -> Comparison:
    """The first layer with the worst verdict, with all the others in `layers`. Raises ValueError when there is none."""
    if not layers:
        raise ValueError("there is no layer to compare")
    records: Sequence[Comparison] = tuple(layers.values())
    found = min(records, key=lambda record: WORST_FIRST.index(record.verdict))
    return replace(found, layers=MappingProxyType(dict(layers)))
