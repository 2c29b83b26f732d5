"""gate(baseline, candidate) = whose bits moved, what became of every divergence, and the exit code that a merge gets.

130 over 2 over 3 over 1 over 4 over 0: what is incomplete outranks what moved, and that a ledger that is stale.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from parity.accepted import Accepted
from parity.exit_codes import ExitCode, combine
from parity.gate.changes import Change, Kind, changes
from parity.gate.comparable import ENGINE, holes, refuse_incomparable
from parity.gate.measured import Measured
from parity.gate.moves import Move, moves
from parity.gate.rule_moves import RuleMove
from parity.run_diff import run_diff
from parity.setting import subject_difference
from parity.store import Run
from parity.verdicts import Verdict


@dataclass(frozen=True, slots=True, kw_only=True)
class Cells:
    """How many planned cells both runs have, the candidate alone, the baseline alone."""

    common: int
    new: int
    gone: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Gate:
    """One answer. lanes = lane records compared; accepted = moves that a row of parity/accepted.toml answers for.

    rules, measured: what a base revision that could be run says beyond its digests; () where only records were read.
    outputs = (moved, compared) outputs of all lanes; holes = what was planned and not seen.
    """

    baseline: str
    candidate: str
    subject: str
    differs: tuple[str, ...]
    lanes: int
    outputs: tuple[int, int]
    cells: Cells
    moves: tuple[Move, ...]
    accepted: tuple[Move, ...]
    changes: tuple[Change, ...]
    holes: tuple[str, ...]
    stale: int
    rules: tuple[RuleMove, ...] = ()
    measured: tuple[Measured, ...] = ()

    @property
    def code(self) -> ExitCode:
        """INCOMPLETE for a hole, DIVERGED for bits that moved or a grave change, LEDGER_STALE for what is fixed."""
        codes = [ExitCode.PARITY]
        if self.holes:
            codes.append(ExitCode.INCOMPLETE)
        if self.moves or any(change.red for change in self.changes):
            codes.append(ExitCode.DIVERGED)
        if self.stale:
            codes.append(ExitCode.LEDGER_STALE)
        return combine(codes)

    @property
    def sentence(self) -> str:
        """`bits moved first at weight.codes, in 412 lane records of 5,886; 1 new divergence; 2 fixed`."""
        parts = list(self.holes[:1])
        if len(self.holes) > 1:
            parts = [f"{len(self.holes)} things were planned and not seen, first: {self.holes[0]}"]
        n = sum(len(move.cells) for move in self.moves)
        if self.moves:
            parts.append(f"bits moved first at {self.moves[0].stage}, in {n:,} of {self.lanes:,} lane records")
        else:
            parts.append(f"no bit moved in {self.lanes:,} lane records")
        if self.accepted:
            parts.append(f"{sum(len(move.cells) for move in self.accepted):,} moved as accepted")
        for kind in Kind:
            signatures = [change for change in self.changes if change.kind is kind]
            if signatures and kind is not Kind.UNCHANGED:
                parts.append(f"{len(signatures):,} {kind} ({sum(each.pairs for each in signatures):,} pairs)")
        if self.stale:
            parts.append("the ledger must shrink")
        return "; ".join(parts)

    def of_kind(self, kind: Kind) -> tuple[Change, ...]:
        return tuple(change for change in self.changes if change.kind is kind)

    def to_json(self) -> dict[str, Any]:
        """Plain values for json.dumps; a move's cells are counted, and its shortest is named."""
        return {
            "sentence": self.sentence,
            "code": int(self.code),
            "baseline": self.baseline,
            "candidate": self.candidate,
            "subject": self.subject,
            "differs": list(self.differs),
            "holes": list(self.holes),
            "lanes": self.lanes,
            "outputs": {"moved": self.outputs[0], "compared": self.outputs[1]},
            "cells": {"common": self.cells.common, "new": self.cells.new, "gone": self.cells.gone},
            "moves": [_plain(move) for move in self.moves],
            "accepted": [_plain(move) for move in self.accepted],
            "rules": [{"told": rule.told, "confirmed": rule.confirmed, "tried": rule.tried} for rule in self.rules],
            "measured": [each.to_json() for each in self.measured],
            "changes": [
                {
                    "kind": change.kind.value,
                    "signature": change.signature,
                    "before": change.before,
                    "pairs": change.pairs,
                    "red": change.red,
                    "cell": change.cell,
                    "rows": list(change.rows),
                }
                for change in self.changes
            ],
        }


def gate(baseline: Run, candidate: Run, *, subject: str = ENGINE, accepted: Sequence[Accepted] = ()) -> Gate:
    """Hold the candidate against the baseline. Raises IncomparableError for runs that cannot answer."""
    refuse_incomparable(baseline, candidate, subject)
    environments = (baseline.manifest.environment, candidate.manifest.environment)
    found = run_diff(baseline.lanes, candidate.lanes, environments=environments)
    moved = moves(found.moved)
    unseen = holes(baseline, candidate)
    if not found.common:
        unseen = (*unseen, "no cell ran on one lane in both runs, so nothing was compared")
    excused = tuple(move for move in moved if any(row.describes(move) for row in accepted))
    before, after = frozenset(baseline.manifest.planned), frozenset(candidate.manifest.planned)
    return Gate(
        baseline=baseline.directory.name,
        candidate=candidate.directory.name,
        subject=subject,
        differs=tuple(subject_difference(*environments)),
        lanes=found.common,
        outputs=(sum("output" in each.stages for each in found.moved), found.common),
        cells=Cells(common=len(before & after), new=len(after - before), gone=len(before - after)),
        moves=tuple(move for move in moved if move not in excused),
        accepted=excused,
        changes=changes(baseline, candidate),
        holes=unseen,
        stale=sum(verdict is Verdict.FIXED for _, _, verdict in candidate.judged()),
    )


def _plain(move: Move) -> dict[str, Any]:
    return {
        "stage": move.stage,
        "lane": move.lane,
        "cells": len(move.cells),
        "outputs": move.outputs,
        "example": move.example,
        "digest": move.digest,
    }
