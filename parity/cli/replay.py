"""`parity replay CELL`: one cell again, with its stages, digests and verdicts."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from parity.cli.arguments import Activations, Json, Lanes, Weights, lane_texts, source_of
from parity.cli.terminal import say, say_json, table
from parity.exit_codes import ExitCode
from parity.record import EdgeRecord, LaneRecord
from parity.sentence import sentence

if TYPE_CHECKING:
    from parity.replay import Replay

EXAMPLES = """\b
Examples:
  parity replay default
  parity replay dtype:bf16,scale:bf16 --lanes engine:ptq,engine.torchao:ptq
  parity replay dtype:bf16 --run runs/20260101-120000-premerge
  parity replay dtype:bf16,layer:encoder.0 --weights model.safetensors
"""


def replay_cell(
    cell: Annotated[str, typer.Argument(metavar="CELL", help="The id of a cell: dtype:bf16,scale:fp16, or default.")],
    run: Annotated[
        Path | None, typer.Option("--run", metavar="DIR", help="Compare with the digests of this run.")
    ] = None,
    lanes: Lanes = None,
    weights: Weights = None,
    activations: Activations = None,
    as_json: Json = False,
) -> ExitCode:
    """Evaluate one cell by its id: every lane's stages, every edge's verdict, and where lanes part."""
    from parity.replay import replay

    source = source_of(weights, activations)
    found = replay(cell, lanes=lane_texts(lanes) or (), run=run, source=source)
    if as_json:
        say_json(found.to_json())
    else:
        say(*_lines(found))
    return found.code


def _lines(found: Replay) -> Iterator[str]:
    yield f"cell {found.cell}"
    for lane in found.lanes:
        yield ""
        yield from _lane(lane)
    yield ""
    yield from table([(edge.edge, edge.verdict.value, _note(edge)) for edge in found.edges])
    if found.held is not None:
        yield ""
        yield from (f"setting: {unlike}" for unlike in found.held.unlike)
        yield from (f"moved: {lane} at {stage}" for lane, stage in found.held.moved)
        yield from (f"not compared: {lane}, which that run did not run" for lane in found.held.absent)
        yield found.held.sentence


def _lane(lane: LaneRecord) -> Iterator[str]:
    yield f"{lane.lane}  {lane.outcome}" + (f"  {lane.message}" if lane.message else "")
    rows = [("", s.stage, s.digest, s.dtype, "x".join(map(str, s.shape)) or "-", s.computed) for s in lane.stages]
    yield from table(rows, ("", "stage", "digest", "dtype", "shape", "computed in")) if rows else ()
    visited = ", ".join(f"{n:,} {name.replace('_', ' ')}" for name, n in lane.coverage if n)
    if visited:
        yield f"  visited: {visited}"


def _note(edge: EdgeRecord) -> str:
    """Nothing for lanes with equal bits; else the first element that differs, or why nothing was compared."""
    if edge.verdict.value == "identical":
        return ""
    known = f" (known: {edge.ledger})" if edge.ledger else ""
    return sentence(edge) + known
