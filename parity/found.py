"""found.toml = the cells in which a divergence was found that nobody expected: every run replays them first."""

from __future__ import annotations

import datetime
import json
import tomllib
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Final

from parity.cells import parse_cell
from parity.whole_file import write_whole

FOUND_FILE: Final = Path(__file__).with_name("found.toml")


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """One cell, what differed in it, and when that was found."""

    cell: str
    told: str
    date: datetime.date


def read_found(path: Path = FOUND_FILE) -> tuple[Found, ...]:
    """The rows of the table. Raises ValueError for a file that is none, a row that lacks a part, an unknown cell."""
    try:
        rows = tomllib.loads(path.read_text(encoding="utf-8")).get("found", [])
    except tomllib.TOMLDecodeError as error:
        raise ValueError(f"{path} is not TOML: {error}") from error
    names = [field.name for field in fields(Found)]
    for number, row in enumerate(rows, start=1):
        missing = [name for name in names if name not in row]
        if missing or len(row) != len(names):
            told = f"lacks {', '.join(missing)}" if missing else "has more"
            raise ValueError(f"row {number} of {path} {told}; a row has {', '.join(names)}")
        parse_cell(row["cell"])
    return tuple(Found(**row) for row in rows)


def add_found(row: Found, path: Path = FOUND_FILE) -> None:
    """Write the row behind the others, unless its cell is there already. Raises ValueError and StoreError."""
    parse_cell(row.cell)
    if row.cell in [found.cell for found in read_found(path)]:
        return
    # A basic string of TOML is written like one of JSON, but for characters that neither field holds.
    text = f"\n[[found]]\ncell = {json.dumps(row.cell)}\ntold = {json.dumps(row.told)}\ndate = {row.date.isoformat()}\n"
    write_whole(path, (path.read_text(encoding="utf-8") + text).encode())
