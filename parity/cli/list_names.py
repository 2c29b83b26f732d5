"""`parity list WHAT`: the names that other commands take."""

from __future__ import annotations

from typing import Annotated

import typer

from parity.cli.arguments import Json, Select, Tier, selection
from parity.cli.terminal import say, say_json, table
from parity.exit_codes import ExitCode
from parity.listing import FIXED, OF_CELLS, Listing, list_cells

KINDS = ("axes", "cells", "lanes", "edges", "backends", "presets", "stages", "capabilities")

EXAMPLES = """\b
Examples:
  parity list axes
  parity list cells --select dtype=bf16 --select domain=float --limit 10
  parity list lanes --json
"""


def list_names(
    kind: Annotated[str, typer.Argument(metavar="|".join(KINDS), help="What to list.")],
    tier: Tier = "premerge",
    select: Select = None,
    limit: Annotated[int | None, typer.Option(min=0, help="At most so many cells.")] = None,
    as_json: Json = False,
) -> ExitCode:
    """List axes, backends, presets, stages, capabilities, or the cells, lanes and edges of a tier."""
    if kind not in KINDS:
        raise ValueError(f"there is no list of {kind!r}; there are lists of {', '.join(KINDS)}")
    listing = FIXED[kind]() if kind in FIXED else _of_cells(kind, tier, select, limit)
    if as_json:
        say_json(listing.to_json())
        return ExitCode.PARITY
    say(*table(listing.rows, listing.columns))
    if listing.more:
        say(f"... and {listing.more:,} more")
    return ExitCode.PARITY


def _of_cells(kind: str, tier: str, select: list[str] | None, limit: int | None) -> Listing:
    from parity.matrix import plan

    cells = plan(tier, select=selection(select)).cells
    return OF_CELLS[kind](cells) if kind in OF_CELLS else list_cells(cells, limit)
