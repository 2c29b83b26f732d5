"""The committed arrays still cover what they promise, and what counts as possible is decided exactly."""

from collections.abc import Mapping
from itertools import combinations, product
from pathlib import Path

import numpy as np
import pytest

import parity.arrays
from parity.arrays import REWRITE, read_array
from parity.axes import AXES, PRESET
from parity.cells import Cell, cell_at, concrete, illegal_reason
from parity.constraints import Space, legal_space, meets
from parity.covering import EVERYWHERE, ON_CPU, PREMERGE_STRENGTH, REST_STRENGTH, covering_array, uncovered
from parity.forbidden import FORBIDDEN
from parity.product import REST, rest_rows

STALE = f"the axes have changed; run {REWRITE} and commit what it writes"


def row(cell: Cell) -> dict[str, str]:
    return dict(zip(AXES, cell.values, strict=True))


def test_the_premerge_array_shows_every_legal_triple() -> None:
    cells = read_array("premerge")
    assert all(illegal_reason(cell) is None for cell in cells), STALE
    assert uncovered([row(cell) for cell in cells], legal_space(EVERYWHERE), PREMERGE_STRENGTH) == [], STALE


def test_the_nightly_array_shows_every_four_values() -> None:
    space = Space({axis: EVERYWHERE[axis] for axis in REST})
    assert uncovered(rest_rows(), space, REST_STRENGTH) == [], STALE


def test_the_illegal_array_shows_every_reason_alone_with_any_other_value() -> None:
    cells = read_array("illegal")
    assert all(illegal_reason(cell) is not None and cell["device"] == "cpu" for cell in cells), STALE
    for broken in (row for row in FORBIDDEN if meets(row, ON_CPU)):
        assert uncovered([row(cell) for cell in cells], legal_space(ON_CPU, broken), 1) == [], STALE


def test_the_illegal_array_shows_every_pair_that_no_legal_cell_has() -> None:
    space = legal_space(ON_CPU)
    shown = {pair for cell in read_array("illegal") for pair in combinations(row(cell).items(), 2)}
    for one, other in combinations(ON_CPU, 2):
        possible = space.possible([one, other])
        for i, j in np.argwhere(~possible):
            assert ((one, ON_CPU[one][i]), (other, ON_CPU[other][j])) in shown, STALE


def test_a_line_of_other_axes_is_refused_with_the_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "premerge.txt").write_text("dtype:bf16\ndtype:fp8\n")
    monkeypatch.setattr(parity.arrays, "ARRAYS", tmp_path)
    with pytest.raises(
        ValueError, match=r"^premerge.txt:2 is no cell of these axes .*; run python -m parity.covering$"
    ):
        read_array("premerge")


def test_a_new_value_is_found_uncovered() -> None:
    values = {**EVERYWHERE, "case": ("0", "1", "2")}
    rows = [row(cell) for cell in read_array("premerge")]
    missing = uncovered(rows, legal_space(values), 2)
    assert missing
    assert all(combination["case"] == "2" for combination in missing)


def test_a_missing_row_is_found_out() -> None:
    rows = [row(cell) for cell in read_array("premerge")]
    without = rows[:500] + rows[501:]
    missing = uncovered(without, legal_space(EVERYWHERE), PREMERGE_STRENGTH)
    assert missing
    assert all(combination.items() <= rows[500].items() for combination in missing)


def test_an_illegal_row_covers_nothing() -> None:
    space = legal_space(EVERYWHERE)
    illegal = {**row(cell_at({})), "pz": "no"}
    assert uncovered([illegal], space, 1) == uncovered([], space, 1)


@pytest.mark.parametrize("strength", [1, 2])
def test_a_small_array_is_complete_legal_and_the_same_each_time(strength: int) -> None:
    values = {axis: values[:4] for axis, values in EVERYWHERE.items()}
    space = legal_space(values)
    rows = covering_array(space, strength)
    assert rows == covering_array(space, strength)
    assert all(illegal_reason(cell_at(found)) is None for found in rows)
    wanted = {
        point
        for axes in combinations(values, strength)
        for point in product(*([(axis, value) for value in values[axis]] for axis in axes))
    }
    shown = {point for found in rows for point in combinations(found.items(), strength)}
    assert shown <= wanted
    assert not [point for point in wanted - shown if _possible(dict(point))]
    assert len(rows) < len(wanted) / 3


def _possible(point: Mapping[str, str]) -> bool:
    """Whether some cell with these values is legal, by trying: every value of what the legality table reads."""
    free = {"domain": ("int", "float", "none"), "mapping": ("symmetric", "asymmetric"), "pz": ("yes", "no")}
    free |= {"zp": (PRESET, "fp32"), "bits": (PRESET, "2"), "scale": (PRESET, "fp32"), "eps": (PRESET, "1e-3")}
    free |= {"ascale": (PRESET, "fp32"), "aeps": (PRESET, "1e-3"), "shape": ("32x64",), "group": (PRESET, "16")}
    free = {axis: values for axis, values in free.items() if axis not in point}
    return any(
        illegal_reason(cell_at({**dict(zip(free, tried, strict=True)), **point})) is None
        for tried in product(*free.values())
    )


def test_possible_is_what_drawn_cells_show() -> None:
    """The arrays of constraints agree with the table on cells drawn at random, of which some are legal."""
    space = legal_space(EVERYWHERE)
    draw = np.random.default_rng(7)
    codes = np.stack([draw.integers(len(values), size=4000) for values in EVERYWHERE.values()], axis=1)
    cells = [
        cell_at({axis: values[code] for (axis, values), code in zip(EVERYWHERE.items(), codes[i], strict=True)})
        for i in range(len(codes))
    ]
    legal = [illegal_reason(cell) is None for cell in cells]
    assert space.legal(codes).tolist() == legal
    assert 200 < sum(legal) < 3800
    for broken in (row for row in FORBIDDEN if meets(row, EVERYWHERE)):
        alone = [
            broken.holds(concrete(cell))
            and not any(other.holds(concrete(cell)) for other in FORBIDDEN if other is not broken)
            for cell in cells
        ]
        assert legal_space(EVERYWHERE, broken).legal(codes).tolist() == alone
