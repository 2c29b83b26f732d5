"""Why the new divergences of a run part: one of each signature explained, and the same found to hold for the others.

A cause stands in a record only where it reproduces every differing element of that very cell.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from parity.cell_pair import cell_pair
from parity.explain import accounts_for, explain
from parity.record import EdgeRecord
from parity.signature import with_cause
from parity.verdicts import Verdict

# How many different causes are looked for under one signature.
ATTEMPTS: Final = 4

Key = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Sought:
    """What was found out about `asked` records in the time there was: the cause of each cell and edge that has one."""

    asked: int
    tried: int
    causes: Mapping[Key, str] = field(default_factory=dict)

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

    A record that cannot be explained alone (a lane raised, weights were trained or come from a file) has none.
    """
    until = time.monotonic() + seconds
    groups: dict[str, list[EdgeRecord]] = {}
    for record in records:
        if record.verdict is Verdict.DIVERGED:
            groups.setdefault(record.signature, []).append(record)
    found: dict[Key, str] = {}
    tried = 0
    for _, group in sorted(groups.items(), key=lambda item: (-len(item[1]), item[0])):
        tried += _of_group(group, until, found)
    return Sought(sum(map(len, groups.values())), tried, found)


def _of_group(group: Sequence[EdgeRecord], until: float, found: dict[Key, str]) -> int:
    """Adds the causes of records of one signature to `found`; returns how many records were looked at."""
    waiting = sorted(group, key=lambda record: record.cell)
    looked_at: set[Key] = set()
    for _ in range(ATTEMPTS):
        if not waiting or time.monotonic() > until:
            break
        first, *others = waiting
        looked_at.add((first.cell, first.edge))
        waiting = others
        try:
            explanation = explain(first)
        except ValueError:  # nothing to run again, and so it will be for most of its signature
            continue
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
