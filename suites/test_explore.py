"""Cells in which something was found once are replayed first; then hypothesis looks for the next one."""

from __future__ import annotations

from datetime import UTC, date, datetime
from math import log2
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings, target

from parity.axes import AXES
from parity.cells import Cell, illegal_reason, parse_cell
from parity.evaluate import evaluate
from parity.found import FOUND_FILE, Found, add_found, read_found
from parity.ledger import read_ledger
from parity.premerge import premerge_parts
from parity.record import EdgeRecord
from parity.recording import axis_values
from parity.settling import Settling
from parity.verdicts import GREEN
from suites.strategies import cells

FOUND = read_found()


def settled(cell: Cell) -> list[EdgeRecord]:
    """Every declared edge of a cell, held against the ledger."""
    settling = Settling(read_ledger(axes=AXES), values_of=axis_values, today=datetime.now(UTC).date())
    return [settling.excuse(record) for record in evaluate([cell]).edges]


def distance(records: list[EdgeRecord]) -> float:
    """log2 of the largest ulp distance between two lanes, 0 where all are equal."""
    ulps = [diff.max_ulp or 0 for record in records for diff in record.stages]
    return log2(1 + max(ulps, default=0))


# --- what was found -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("found", FOUND, ids=[found.cell for found in FOUND])
def test_what_was_found_once_is_green_or_known(found: Found) -> None:
    red = [record for record in settled(parse_cell(found.cell)) if record.verdict not in GREEN]
    assert not red, f"{found.cell}: {found.told}, and it is back"


def test_every_run_replays_them_first() -> None:
    first = premerge_parts()[0]
    assert [cell.id for cell in first.cells] == list(dict.fromkeys(found.cell for found in FOUND))
    assert first.protected
    assert not [cell.id for cell in first.cells if illegal_reason(cell) is not None]


def test_a_row_is_added_at_the_end_and_read_back(tmp_path: Path) -> None:
    path = tmp_path / "found.toml"
    path.write_text(FOUND_FILE.read_text())
    row = Found(cell="dtype:bf16", told='a "tie" at\\ the edge', date=date(2026, 1, 31))
    add_found(row, path)
    assert read_found(path) == (*FOUND, row)
    add_found(row, path)
    assert read_found(path) == (*FOUND, row)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[[found", "is not TOML"),
        ('[[found]]\ncell = "dtype:bf16"\n', "lacks told"),
        ('[[found]]\ncell = "dtype:fp8"\ntold = ""\ndate = 2026-01-31\n', "axis dtype has no value 'fp8'"),
    ],
)
def test_a_table_that_is_none_is_refused(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "found.toml"
    path.write_text(text)
    with pytest.raises(ValueError, match=said):
        read_found(path)


# --- what nobody knows --------------------------------------------------------------------------------------------


@pytest.mark.nightly
@pytest.mark.slow
@settings(suppress_health_check=list(HealthCheck))
@given(cell=cells())
def test_any_legal_cell_is_green_or_known(cell: Cell) -> None:
    """Drawn towards lanes that lie far apart. A cell that fails here, shrunk, becomes a row of parity/found.toml."""
    records = settled(cell)
    target(distance(records))
    red = [record.signature for record in records if record.verdict not in GREEN]
    assert not red, f"parity shrink {cell.id!r} finds the smallest such cell: {red}"
