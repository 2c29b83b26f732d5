"""A ledger row = one divergence that is known: which pairs, which signature, why, who minds it, and until when.

Rows stand in parity/ledger.toml, whose head explains one. A row that lacks a part is refused, not completed.
"""

import datetime
import re
import tomllib
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from parity.record import STAGES
from parity.signature import COUNT_CLASSES, RAISE, ULP_CLASSES, Signature

LEDGER_FILE: Final = Path(__file__).with_name("ledger.toml")

_KEYS: Final = (
    "id",
    "edge",
    "first_stage",
    "cause",
    "where",
    "ulp_class",
    "count_class",
    "reason",
    "owner",
    "link",
    "date",
    "expires",
)
_ID: Final = re.compile(r"[a-z0-9][a-z0-9-]*")


class LedgerError(ValueError):
    """The ledger says something it cannot mean; str() holds a sentence for each such thing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One known divergence. where, ulp_classes, count_classes: () = whatever it is."""

    id: str
    edge: str
    first_stage: str
    cause: str
    where: tuple[tuple[str, tuple[str, ...]], ...]
    ulp_classes: tuple[str, ...]
    count_classes: tuple[str, ...]
    reason: str
    owner: str
    link: str
    date: datetime.date
    expires: datetime.date

    def covers(self, values: Mapping[str, str]) -> bool:
        """Whether a cell with these axis values is one the row may speak of. Raises LedgerError for an unknown axis."""
        unknown = [axis for axis, _ in self.where if axis not in values]
        if unknown:
            raise LedgerError(f"row {self.id!r}: where names {unknown[0]!r}; the axes are {', '.join(values)}.")
        return all(values[axis] in allowed for axis, allowed in self.where)

    def describes(self, signature: Signature) -> bool:
        """Whether the divergence is the one the row means: its edge, stage, cause, ulp and count class."""
        return (
            signature.edge == self.edge
            and signature.first_stage == self.first_stage
            and self.cause in ("", signature.cause)
            and (not self.ulp_classes or signature.ulp_class in self.ulp_classes)
            and (not self.count_classes or signature.count_class in self.count_classes)
        )

    def expired(self, today: datetime.date) -> bool:
        """Whether the last day on which it excused anything is past."""
        return today > self.expires


def read_ledger(path: Path = LEDGER_FILE, *, axes: Collection[str] = ()) -> tuple[Row, ...]:
    """The rows of a ledger file. Raises LedgerError with a sentence for everything that is wrong with it.

    axes = the names that `where` may hold; () leaves them to be checked against the first cell.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise LedgerError(f"the ledger {path} cannot be read: {error.strerror}.") from error
    return parse_ledger(text, axes=axes)


def parse_ledger(text: str, *, axes: Collection[str] = ()) -> tuple[Row, ...]:
    """The rows of a ledger's text; see read_ledger."""
    try:
        tables = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise LedgerError(f"the ledger is not TOML: {error}.") from error
    rows = tables.pop("row", [])
    wrong = [f"the ledger holds {key!r}; it may hold [[row]] tables only." for key in tables]
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise LedgerError("`row` in the ledger is no array of tables; begin each row with [[row]].")
    for number, row in enumerate(rows, start=1):
        name = f"row {row['id']!r}" if isinstance(row.get("id"), str) else f"row {number}"
        wrong += [f"{name}: {sentence}" for sentence in _faults(row, axes)]
    ids = [str(row["id"]) for row in rows if "id" in row]
    wrong += [f"row {name!r}: {ids.count(name)} rows have this id." for name in sorted(set(ids)) if ids.count(name) > 1]
    if wrong:
        raise LedgerError("\n".join(wrong))
    return tuple(_row(row) for row in rows)


def _faults(row: Mapping[str, Any], axes: Collection[str]) -> list[str]:
    """A sentence for each thing wrong with a row: its keys, or else their types, or else their values."""
    faults = [f"the key {key!r} is unknown; a row's keys are {', '.join(_KEYS)}." for key in row if key not in _KEYS]
    faults += [f"the key {key!r} is missing." for key in _KEYS if key not in row]
    return faults or _wrong_types(row) or _wrong_values(row, axes)


def _wrong_types(row: Mapping[str, Any]) -> list[str]:
    faults = []
    for key in ("id", "edge", "first_stage", "cause", "reason", "owner", "link"):
        if not isinstance(row[key], str):
            faults.append(f"{key} is {row[key]!r}; it must be text.")
        elif not row[key].strip() and key not in ("cause", "link"):
            faults.append(f"{key} is empty; a known divergence needs one.")
    for key in ("date", "expires"):
        if not isinstance(row[key], datetime.date) or isinstance(row[key], datetime.datetime):
            faults.append(f"{key} is {row[key]!r}; it must be a date such as 2026-01-31.")
    for key in ("ulp_class", "count_class"):
        if not isinstance(row[key], str) and not (_is_texts(row[key]) and row[key]):
            faults.append(f"{key} is {row[key]!r}; it must be one class, a list of classes, or 'any'.")
    if not isinstance(row["where"], dict) or not all(_is_texts(values) for values in row["where"].values()):
        faults.append(
            f"where is {row['where']!r}; it must be a table such as {{dtype = ['bf16']}}, {{}} for all cells."
        )
    return faults


def _wrong_values(row: Mapping[str, Any], axes: Collection[str]) -> list[str]:
    faults = []
    if not _ID.fullmatch(row["id"]):
        faults.append("its id may hold a-z, 0-9 and - only.")
    if row["edge"].count("~") != 1 or "|" in row["edge"]:
        faults.append(f"edge is {row['edge']!r}; an edge is laneA~laneB.")
    if row["first_stage"] not in (*STAGES, RAISE):
        faults.append(f"first_stage is {row['first_stage']!r}; it must be {RAISE!r} or one of {', '.join(STAGES)}.")
    if row["date"] > row["expires"]:
        faults.append(f"it expires on {row['expires']}, before its date {row['date']}.")
    for key, known in (("ulp_class", ULP_CLASSES), ("count_class", COUNT_CLASSES)):
        classes = _classes(row[key])
        if unknown := [name for name in classes if name not in known]:
            faults.append(f"{key} is {unknown[0]!r}; it must be 'any' or of {', '.join(known)}.")
        elif classes and row["first_stage"] == RAISE:
            faults.append(f"{key} is {row[key]!r}, but lanes that part by raising have none; write 'any'.")
    if axes and (unknown := [axis for axis in row["where"] if axis not in axes]):
        faults.append(f"where names {unknown[0]!r}; the axes are {', '.join(axes)}.")
    return faults


def _is_texts(values: object) -> bool:
    return isinstance(values, list) and all(isinstance(value, str) for value in values)


def _classes(given: str | list[str]) -> tuple[str, ...]:
    """() for "any"."""
    classes = [given] if isinstance(given, str) else given
    return () if classes == ["any"] else tuple(classes)


def _row(row: Mapping[str, Any]) -> Row:
    return Row(
        id=row["id"],
        edge=row["edge"],
        first_stage=row["first_stage"],
        cause=row["cause"],
        where=tuple((axis, tuple(values)) for axis, values in row["where"].items() if values),
        ulp_classes=_classes(row["ulp_class"]),
        count_classes=_classes(row["count_class"]),
        reason=row["reason"],
        owner=row["owner"],
        link=row["link"],
        date=row["date"],
        expires=row["expires"],
    )
