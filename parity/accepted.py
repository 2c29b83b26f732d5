"""An accepted move = bits that moved between revisions on purpose: which lane and stage, in which cells, and why.

Rows stand in parity/accepted.toml, written by `parity accept`. A row answers for one move and no other: the digest is
of the cells that moved, so a second change of the same stage is not excused by the first one's row.
"""

from __future__ import annotations

import datetime
import tomllib
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Final

from parity.gate.moves import Move
from parity.ledger import LedgerError

ACCEPTED_FILE: Final = Path(__file__).with_name("accepted.toml")


@dataclass(frozen=True, slots=True, kw_only=True)
class Accepted:
    """One move that is wanted; digest = Move.digest, expires = the last day on which it answers for anything."""

    lane: str
    stage: str
    cells: int
    digest: str
    reason: str
    owner: str
    link: str
    date: datetime.date
    expires: datetime.date

    def describes(self, move: Move) -> bool:
        """Whether this is the very move that was accepted."""
        return (self.lane, self.stage, self.digest) == (move.lane, move.stage, move.digest)


def read_accepted(path: Path = ACCEPTED_FILE, *, today: datetime.date) -> tuple[Accepted, ...]:
    """The rows in force; () where there is no such file. Raises LedgerError for a row that is not whole."""
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return ()
    return tuple(row for row in parse_accepted(text) if row.expires >= today)


def parse_accepted(text: str) -> tuple[Accepted, ...]:
    """The rows of a file's text, expired ones too. Raises LedgerError with a sentence for what is wrong."""
    try:
        tables = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise LedgerError(f"the accepted moves are not TOML: {error}.") from error
    rows = tables.pop("move", [])
    if tables or not isinstance(rows, list):
        raise LedgerError("the file of accepted moves may hold [[move]] tables only.")
    kinds = {field.name: _KINDS[str(field.type)] for field in fields(Accepted)}
    for number, row in enumerate(rows, start=1):
        if not isinstance(row, dict) or row.keys() != kinds.keys():
            raise LedgerError(f"accepted move {number} must have the keys {', '.join(kinds)}, and no others.")
        for name, value in row.items():
            if type(value) is not kinds[name]:
                raise LedgerError(f"accepted move {number}: {name} is {value!r}; it must be {kinds[name].__name__}.")
        if not (row["reason"].strip() and row["owner"].strip()):
            raise LedgerError(f"accepted move {number} has no reason or no owner; a move that is wanted has both.")
    return tuple(Accepted(**row) for row in rows)


_KINDS: Final = {"str": str, "int": int, "datetime.date": datetime.date}
