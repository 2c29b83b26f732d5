"""Why the new divergences of a run part: one of each signature explained, and the same found to hold for the others.

A cause stands in a record only where it reproduces every differing element of that very cell.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from parity.blames import blames
from parity.cell_pair import cell_pair
from parity.explain import accounts_for, explain_pair
from parity.kept_explanation import Judged, KeptExplanation, Small
from parity.nearest_tie import nearest_tie
from parity.pair import Pair
from parity.record import EdgeRecord
from parity.shrink import shrink
from parity.signature import with_cause
from parity.verdicts import Verdict

# How many different causes are looked for under one signature.
ATTEMPTS: Final = 4

Key = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Sought:
    """What was found out about `asked` records in the time there was: the cause of each cell and edge that has one.

    kept = the explanations themselves, at most ATTEMPTS of a signature, of those that could be computed again.
    """

    asked: int
    tried: int
    causes: Mapping[Key, str] = field(default_factory=dict)
    kept: tuple[KeptExplanation, ...] = ()

    def given(self, record: EdgeRecord) -> EdgeRecord:
        """The record with its cause, where it was found."""
        cause = self.causes.get((record.cell, record.edge), "")
        return with_cause(record, cause) if cause else record

    @property
    def sentence(self) -> str:
        """What there was no time for; "" where every record was looked at."""
        if self.tried == self.asked:
            return ""
        return f"causes were sought for {self.tried:,} of {self.asked:,} new divergences; parity explain finds more"


def causes_of(records: Iterable[EdgeRecord], seconds: float) -> Sought:
    """The causes of diverged records, the most frequent signatures first, until the time is up.

    A record that cannot be explained alone (a lane raised, weights come from a file, a lane keeps what it trained) has
    none.
    """
    until = time.monotonic() + seconds
    groups: dict[str, list[EdgeRecord]] = {}
    for record in records:
        if record.verdict is Verdict.DIVERGED:
            groups.setdefault(record.signature, []).append(record)
    found: dict[Key, str] = {}
    kept: list[KeptExplanation] = []
    tried = 0
    for _, group in sorted(groups.items(), key=lambda item: (-len(item[1]), item[0])):
        tried += _of_group(group, until, found, kept)
    return Sought(sum(map(len, groups.values())), tried, found, tuple(_shrunk(kept, until)))


def explained(pair: Pair, cell: str, edge: str) -> KeptExplanation:
    """Why the lanes of a pair part, what the oracle says of each, and where the first element with two codes lies."""
    explanation = explain_pair(pair, cell=cell, edge=edge)
    found = () if explanation.first_stage is None else blames(pair, explanation.first_stage)
    judged = (
        Judged(lane=str(side.lane), stage=each.stage, sentence=each.sentence)
        for side, each in zip((pair.a, pair.b), found, strict=False)
    )
    return KeptExplanation(explanation=explanation, judged=tuple(judged), tie=nearest_tie(pair))


def _shrunk(kept: Sequence[KeptExplanation], until: float) -> Iterator[KeptExplanation]:
    """One of each edge, first stage and cause with its smallest case, in the time that the causes left."""
    seen: set[tuple[str, str | None, str]] = set()
    for each in kept:
        told = each.explanation
        alike = told.edge, told.first_stage, told.cause
        if alike in seen or time.monotonic() > until:
            yield each
        else:
            seen.add(alike)
            yield replace(each, small=_smaller(*each.key))


def _smaller(cell: str, edge: str) -> Small | None:
    """The shrunk case of a cell's pair; None where none parts alike in plain tensors."""
    try:
        found = shrink(cell, edge)
    except Exception:  # a lane that fails on a layer of one row, however it does, costs the run nothing
        return None
    return Small(cell=found.cell, script=found.script, moved=found.moved, passing=found.passing)


def _of_group(group: Sequence[EdgeRecord], until: float, found: dict[Key, str], kept: list[KeptExplanation]) -> int:
    """Adds what is found of records of one signature to `found` and `kept`; returns how many were looked at."""
    waiting = sorted(group, key=lambda record: record.cell)
    looked_at: set[Key] = set()
    for _ in range(ATTEMPTS):
        if not waiting or time.monotonic() > until:
            break
        first, *others = waiting
        looked_at.add((first.cell, first.edge))
        waiting = others
        try:
            kept.append(explained(cell_pair(first.cell, first.edge), first.cell, first.edge))
        except ValueError:  # nothing to run again, and so it will be for most of its signature
            continue
        explanation = kept[-1].explanation
        if not explanation.causes:
            continue
        found[first.cell, first.edge] = explanation.cause
        waiting = []
        for record in others:
            if time.monotonic() > until:
                break
            looked_at.add((record.cell, record.edge))
            if accounts_for(cell_pair(record.cell, record.edge, siblings=()), explanation.causes):
                found[record.cell, record.edge] = explanation.cause
            else:
                waiting.append(record)
    # Where no cause was found, none is sought for the rest of a signature.
    given_up = waiting if time.monotonic() <= until else ()
    return len(looked_at | {(record.cell, record.edge) for record in given_up})
