"""`parity shrink CELL --edge LANE~LANE`: the plainest cell and the smallest tensors on which two lanes still part."""

from __future__ import annotations

import datetime
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from parity.cells import parse_cell
from parity.cli.arguments import Json, run_directory
from parity.cli.terminal import say, say_json
from parity.exit_codes import ExitCode
from parity.found import Found, add_found

if TYPE_CHECKING:
    from parity.shrink import Shrunk

EXAMPLES = """\b
Examples:
  parity shrink dtype:bf16,scale:bf16 --edge engine:ptq~engine.torchao:ptq
  parity shrink preset:intx_weight_only --edge engine:ptq~engine.torchao:ptq -o shows_it.py
  parity shrink --run runs/mine
"""


def shrink_cell(
    cell: Annotated[
        str | None, typer.Argument(metavar="[CELL]", help="The id of a cell: dtype:bf16,scale:fp16, or default.")
    ] = None,
    edge: Annotated[str | None, typer.Option(metavar="LANE~LANE", help="Any two lanes that part.")] = None,
    run: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="A run's most frequent new divergence, not CELL; else the newest's."),
    ] = None,
    script: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="FILE.py", help="Write the script there as well.")
    ] = None,
    keep: Annotated[
        str | None, typer.Option(metavar="TEXT", help="Add the cell to parity/found.toml, with this text.")
    ] = None,
    as_json: Json = False,
) -> ExitCode:
    """Take away axes, rows and values while the lanes still part at that stage, and print a script that shows it."""
    cell, edge = _chosen(cell, edge, run)
    import torch

    from parity.shrink import shrink

    torch.set_num_threads(1)  # as in a run's worker
    found = shrink(cell, edge)
    if script is not None:
        script.write_text(found.script)
    if keep is not None:
        add_found(Found(cell=found.cell, told=keep, date=datetime.date.today()))
    if as_json:
        say_json(asdict(found))
    else:
        say(*_lines(found))
    return ExitCode.PARITY


def _chosen(cell: str | None, edge: str | None, run: Path | None) -> tuple[str, str]:
    """What was named, or a run's most frequent new divergence. Raises ValueError for half of it, and for none."""
    if cell is not None and edge is not None and run is None:
        parse_cell(cell)  # a wrong name is told before torch is imported
        return cell, edge
    if cell is not None or edge is not None:
        raise ValueError("name a CELL with --edge LANE~LANE, or neither for a run's most frequent new divergence")
    from parity.divergences import new_divergences
    from parity.store import load_run

    directory = run_directory(run)
    found = new_divergences(load_run(directory), 1)
    if not found:
        raise ValueError(f"{directory} holds no new divergence; name a CELL with --edge LANE~LANE")
    return found[0].cell, found[0].edge


def _lines(found: Shrunk) -> Iterator[str]:
    yield f"{found.edge} part at {found.stage}{list(found.at) or ''} on {found.cell}"
    for name, rows in found.operands.items():
        nonzero = [value for row in rows for value in row if float.fromhex(value) != 0]
        shape = f"{len(rows)}x{len(rows[0])}"
        yield (
            f"  {name} {shape} {found.dtype}, zeros but for {', '.join(nonzero)}"
            if nonzero
            else f"  {name} {shape} of zeros"
        )
    if found.passing is not None:
        yield f"  they agree with {found.passing} in {found.moved}"
    yield ""
    yield from found.script.splitlines()
