"""text(gate) = the gate for a terminal: its sentence last, so that it is what one reads first."""

from __future__ import annotations

from collections.abc import Iterator

from parity.cli.terminal import table
from parity.explanation import cause_sentence
from parity.gate.changes import Kind
from parity.gate.gate import Gate
from parity.rerun import rerun


def text(gate: Gate) -> Iterator[str]:
    """Aligned lines; nothing is left out but the cells of a move beyond its example."""
    yield from (f"not seen: {hole}" for hole in gate.holes)
    yield from (f"subject: {difference}" for difference in gate.differs)
    yield from (f"rule: {rule.told}" for rule in gate.rules)
    if gate.moves:
        rows = [(m.stage, m.lane, f"{len(m.cells):,}", f"{m.outputs:,}", m.example) for m in gate.moves]
        yield from ("", *table(rows, ("moved first at", "lane", "cells", "outputs", "for example")))
    yield from (f"measured: {m.lane} {m.stage} {m.told} in {m.cell}" for m in gate.measured)
    told = [change for change in gate.changes if change.kind is not Kind.UNCHANGED]
    for change in told:
        yield from ("", f"{change.kind}: {change.pairs:,} x {change.parts.edge}")
        yield f"    {cause_sentence(change.parts.first_stage, change.parts.cause)}"
        yield f"    {rerun(change.cell)}"
    cells = gate.cells
    yield ""
    yield f"{cells.common:,} cells common, {cells.new:,} new, {cells.gone:,} gone"
    yield gate.sentence
