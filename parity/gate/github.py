"""workflow_commands(gate) = ::error title=...::text, which GitHub shows as annotations beside the diff."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from parity.explanation import cause_sentence
from parity.gate.changes import GRAVE, Kind
from parity.gate.gate import Gate
from parity.rerun import rerun

# GitHub shows ten errors of a step; the last of ours says how many are left out.
MOST: Final = 10


def workflow_commands(gate: Gate) -> list[str]:
    """At most ten errors, the gravest first, then a notice with the gate's sentence."""
    errors = list(_errors(gate))
    if len(errors) > MOST:
        errors = [*errors[: MOST - 1], ("parity", f"and {len(errors) - MOST + 1} more; the report has all of them")]
    return [
        *(f"::error title={_property(title)}::{_data(text)}" for title, text in errors),
        f"::notice title=parity gate::{_data(gate.sentence)}",
    ]


def _errors(gate: Gate) -> Iterator[tuple[str, str]]:
    for hole in gate.holes:
        yield "parity: not seen", hole
    for rule in gate.rules:
        yield "parity: a rule moved", rule.told
    for move in gate.moves:
        cells = f"{len(move.cells):,} cells, {move.outputs:,} of them to the output"
        yield f"parity: {move.stage} moved", f"{move.lane} in {cells}; for example {rerun(move.example)}"
    for change in gate.changes:
        if change.kind in GRAVE and change.red:
            why = cause_sentence(change.parts.first_stage, change.parts.cause)
            yield f"parity: {change.kind}", f"{change.parts.edge}, {change.pairs:,} pairs: {why}; {change.cell}"
    for change in gate.of_kind(Kind.FIXED):
        if change.rows:
            yield (
                "parity: fixed",
                f"remove {', '.join(change.rows)} from the ledger: {change.parts.edge} no longer parts",
            )


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")
