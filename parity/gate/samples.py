"""Which moved cells are looked at more closely, and what is said about them to a process of another revision."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from itertools import zip_longest
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from parity.columns import lane_records
from parity.gate.moves import Move
from parity.run_diff import INPUT, OUTCOME
from parity.store import Run
from parity.verdicts import Outcome

# Enough to tell most rules apart, few enough to run again in seconds.
MOST = 24
_OF_A_MOVE = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """One cell on one lane, and the digest of each stage that is wanted of it."""

    cell: str
    lane: str
    digests: Mapping[str, str]

    @property
    def rules(self) -> str:
        """The named rule set of an engine lane: engine.torchao:ptq has torchao's."""
        return self.lane.partition(":")[0].partition(".")[2] or "engine"

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)


def chosen(moves: Iterable[Move]) -> list[tuple[str, str]]:
    """(cell, lane) of at most MOST moved records of engine lanes: of each move its shortest cell, then further ones."""
    engine = [move for move in moves if move.lane.startswith("engine") and move.stage not in (INPUT, OUTCOME)]
    spread = (_spread(move) for move in engine)
    turns = zip_longest(*spread)
    return [pair for turn in turns for pair in turn if pair is not None][:MOST]


def _spread(move: Move) -> Iterator[tuple[str, str]]:
    """The shortest cell, then cells at even distances: neighbours differ in one axis and show the same."""
    step = max(1, len(move.cells) // _OF_A_MOVE)
    yield from ((cell, move.lane) for cell in move.cells[::step][:_OF_A_MOVE])


def samples(run: Run, pairs: list[tuple[str, str]]) -> list[Sample]:
    """The pairs as a run recorded them, in their order; those it did not run are left out."""
    table = run.lanes.table
    wanted = table.filter(pc.is_in(table.column("cell"), value_set=_texts({cell for cell, _ in pairs})))
    found = {(record.cell, record.lane): record for record in lane_records(wanted) if record.outcome is Outcome.RAN}
    return [
        Sample(cell=cell, lane=lane, digests={stage.stage: stage.digest for stage in found[cell, lane].stages})
        for cell, lane in pairs
        if (cell, lane) in found
    ]


def _texts(values: Iterable[str]) -> pa.Array:
    return pa.array(sorted(values), pa.string())
