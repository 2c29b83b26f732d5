"""A plan is a function of its arguments; its arrays cover what they promise; shards part it without loss."""

from collections import Counter
from collections.abc import Mapping
from itertools import combinations, islice, pairwise, product

import numpy as np
import pytest

from parity.arrays import read_array
from parity.axes import AXES, FLOATS, FORBIDDEN, PRESET, PRESETS, SCALES
from parity.cells import Cell, cell_at, concrete, illegal_reason
from parity.constraints import Space, legal_space
from parity.covering import (
    EVERYWHERE,
    ON_CPU,
    PREMERGE_STRENGTH,
    REST_STRENGTH,
    covering_array,
    uncovered,
)
from parity.matrix import CHUNK_CELLS, MOST_CELLS, Chunk, chunks, describe, plan
from parity.premerge import EPSES, premerge_parts
from parity.product import PRODUCT, REST, Product

STALE = "the axes have changed; run python -m parity.covering and commit parity/arrays"


def row(cell: Cell) -> dict[str, str]:
    return dict(zip(AXES, cell.values, strict=True))


def rest_rows() -> list[Mapping[str, str]]:
    return [{axis: cell[axis] for axis in REST} for cell in read_array("nightly_rest")]


# --- covering arrays ----------------------------------------------------------------------------------------------


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
    for broken in FORBIDDEN:
        assert uncovered([row(cell) for cell in cells], legal_space(ON_CPU, broken), 1) == [], STALE


def test_the_illegal_array_shows_every_pair_that_no_legal_cell_has() -> None:
    space = legal_space(ON_CPU)
    shown = {pair for cell in read_array("illegal") for pair in combinations(row(cell).items(), 2)}
    for one, other in combinations(AXES, 2):
        possible = space.possible([one, other])
        for i, j in np.argwhere(~possible):
            assert ((one, ON_CPU[one][i]), (other, ON_CPU[other][j])) in shown, STALE


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
    values = {axis: AXES[axis].values[:4] for axis in AXES}
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
    for broken in FORBIDDEN:
        alone = [
            broken.holds(concrete(cell))
            and not any(other.holds(concrete(cell)) for other in FORBIDDEN if other is not broken)
            for cell in cells
        ]
        assert legal_space(EVERYWHERE, broken).legal(codes).tolist() == alone


# --- premerge -----------------------------------------------------------------------------------------------------


def test_premerge_has_its_parts_in_order() -> None:
    parts = premerge_parts()
    planned = plan("premerge")
    assert [cell for part in parts for cell in part.cells] == list(planned.cells)
    assert len({*planned.cells}) == len(planned.cells) == planned.total == sum(s.cells for s in planned.stretches)
    assert [part.protected for part in parts] == [True, True, True, False]
    assert planned.protected == sum(len(part.cells) for part in parts[:3])
    assert all(part.cells for part in parts)
    assert planned.cut == ()


def test_premerge_runs_every_preset_with_every_family() -> None:
    cells = {*plan().cells[: plan().protected]}
    for preset, op, dtype, family in product(PRESETS, ("linear", "embedding"), FLOATS, AXES["family"].values):
        assert cell_at({"preset": preset, "op": op, "dtype": dtype, "family": family}) in cells


def test_premerge_runs_the_full_product_of_the_numeric_axes() -> None:
    found = {
        tuple(cell[axis] for axis in ("preset", "dtype", "scale", "domain", "eps", "device", "family"))
        for cell in plan().cells[: plan().protected]
    }
    for point in product(PRESETS, FLOATS, SCALES, ("int", "float", "none"), EPSES):
        assert {(*point, "cpu", "directed"), (*point, "cpu", "random"), (*point, "cuda", "directed")} <= found


def test_the_full_product_is_illegal_for_eps_alone() -> None:
    """Mapping and preserve_zero go with the domain, so that the product is not wasted on cells that raise."""
    reasons = Counter(illegal_reason(cell) for cell in premerge_parts()[1].cells)
    assert {*reasons} == {None, "eps rounds to zero in fp16"}
    assert reasons[None] > 0.95 * reasons.total()


def test_other_devices_are_listed() -> None:
    cells = {*plan().cells}
    for device, preset, dtype in product(("xpu", "mps"), PRESETS, FLOATS):
        assert cell_at({"preset": preset, "dtype": dtype, "device": device}) in cells


def test_a_plan_is_the_same_each_time() -> None:
    premerge_parts.cache_clear()
    first = plan()
    premerge_parts.cache_clear()
    assert plan() == first


# --- select and shard ---------------------------------------------------------------------------------------------


def test_select_keeps_the_cells_with_these_values_in_their_order() -> None:
    select = {"dtype": ("bf16", "fp16"), "op": ("linear",)}
    whole, part = plan(), plan(select=select)
    kept = [cell for cell in whole.cells if cell["dtype"] in ("bf16", "fp16") and cell["op"] == "linear"]
    assert list(part.cells) == kept
    assert part.protected == len({*kept} & {*whole.cells[: whole.protected]})
    assert part.total == whole.total
    assert part.cut == (f"The selection dtype=bf16,fp16 op=linear keeps {len(kept):,} of {whole.total:,} cells.",)


@pytest.mark.parametrize("n", [1, 2, 7])
def test_shards_part_the_plan_by_whole_chunks(n: int) -> None:
    whole = plan()
    shards = [plan(shard=(i, n)) for i in range(1, n + 1)]
    assert Counter(cell for shard in shards for cell in shard.cells) == Counter(whole.cells)
    assert sum(shard.protected for shard in shards) == whole.protected
    protected = {*whole.cells[: whole.protected]}
    for shard in shards:
        assert [cell in protected for cell in shard.cells] == sorted(
            (c in protected for c in shard.cells), reverse=True
        )
        assert sum(stretch.cells for stretch in shard.stretches) == len(shard.cells)
    together = Counter(chunk.cells for shard in shards for chunk in chunks(shard.cells))
    assert together == Counter(chunk.cells for chunk in chunks(whole.cells))


def test_a_shard_says_what_it_holds() -> None:
    whole, shard = plan(), plan(shard=(2, 3))
    assert shard.cut == (f"Shard 2/3 holds {len(shard.cells):,} of {whole.total:,} cells.",)


@pytest.mark.parametrize("tier", ["premerge", "nightly"])
@pytest.mark.parametrize(
    ("select", "shard", "message"),
    [
        ({"colour": ("red",)}, None, "there is no axis 'colour'; the axes are preset, op, "),
        ({"dtype": ("fp32", "fp8")}, None, "axis dtype has no value 'fp8'; its values are fp32, bf16, fp16"),
        ({"dtype": ()}, None, "axis dtype has no value ''; its values are fp32, bf16, fp16"),
        ({}, (0, 4), "there is no shard 0/4; write I/N with 1 <= I <= N"),
        ({}, (5, 4), "there is no shard 5/4; write I/N with 1 <= I <= N"),
        ({"layer": ("encoder.0",)}, None, "The selection layer=encoder.0 keeps 0 of "),
    ],
)
def test_what_cannot_be_asked_for_is_a_sentence(
    tier: str, select: Mapping[str, tuple[str, ...]], shard: tuple[int, int] | None, message: str
) -> None:
    with pytest.raises(ValueError, match=r"^[^\n]+$") as raised:
        plan(tier, select=select, shard=shard)
    assert message in str(raised.value)


def test_an_unknown_tier_is_a_sentence() -> None:
    with pytest.raises(ValueError, match=r"^there is no tier 'weekly'; the tiers are premerge, nightly$"):
        plan("weekly")


def test_a_shard_without_cells_is_a_sentence() -> None:
    with pytest.raises(ValueError, match=r"^nothing is left of premerge to run: Shard 999/999 holds 0 of "):
        plan(shard=(999, 999))


# --- chunks -------------------------------------------------------------------------------------------------------


def test_chunks_hold_whole_configurations_in_order() -> None:
    cells = plan().cells
    parts = chunks(cells)
    assert [cell for chunk in parts for cell in chunk.cells] == list(cells)
    assert len({chunk.name for chunk in parts}) == len(parts)
    for before, after in pairwise(parts):
        assert before.cells[-1].configuration != after.cells[0].configuration
        assert len(before.cells) >= CHUNK_CELLS
        largest = max(Counter(cell.configuration for cell in before.cells).values())
        assert len(before.cells) < CHUNK_CELLS + largest


def test_a_chunk_is_named_for_its_place_and_its_cells() -> None:
    cells = plan().cells
    assert chunks(cells) == chunks(iter(cells))
    one, other = chunks(cells[:3]), chunks((*cells[:2], cells[3]))
    assert one[0].name[:6] == other[0].name[:6] == "00000-"
    assert one[0].name != other[0].name
    assert chunks(()) == ()
    assert one == (Chunk(one[0].name, tuple(cells[:3])),)


# --- nightly ------------------------------------------------------------------------------------------------------


def test_nightly_is_counted_and_refused_whole() -> None:
    axes = 8 * 7 * 3 * 2 * 9 * 3 * 5 * 5 * 6 * 6 * 4
    assert len(Product(rest_rows())) == axes * 11 == 359_251_200
    with pytest.raises(
        ValueError, match=r"^this would run 359,251,200 cells of nightly, and a run holds at most"
    ) as no:
        plan("nightly")
    n = int(str(no.value).rpartition("/")[2])
    assert len(plan("nightly", shard=(1, n)).cells) <= MOST_CELLS
    with pytest.raises(ValueError, match=f"such as --shard 1/{n}$"):
        plan("nightly", shard=(1, n - 20))


def test_nightly_shards_part_it_by_whole_chunks() -> None:
    """On a selection small enough to list: no cell twice, none lost, chunk for chunk."""
    select = {"bits": ("3",), "group": ("16", "row"), "scale": ("model",), "ascale": ("fp32",), "eps": ("1e-3",)}
    select |= {"aeps": ("normal",), "device": ("cpu",), "zp": ("int8", PRESET)}
    whole = plan("nightly", select=select)
    assert len(whole.cells) == 2 * 3 * 2 * 2 * 3 * 11 == len({*whole.cells})
    for n in (1, 3, 5):
        shards = [plan("nightly", select=select, shard=(i, n)) for i in range(1, n + 1)]
        together = Counter(chunk.cells for shard in shards for chunk in chunks(shard.cells))
        assert together == Counter(chunk.cells for chunk in chunks(whole.cells))


def test_nightly_selection_is_what_the_whole_has_there() -> None:
    """Selecting on axes of the product, of the array beside it, and the family keeps each cell as it is."""
    rest = rest_rows()
    fixed = {"bits": ("3",), "group": ("16",), "scale": ("model",), "ascale": ("fp32",), "eps": ("1e-3",)}
    wide = Product(rest, {**fixed, "device": ("cpu", "mps")})
    select = {"domain": ("int", PRESET), "shape": ("4x48", "8x192"), "family": ("ties", "huge"), "device": ("cpu",)}
    narrow = Product(rest, {**fixed, **select})
    kept = {cell for cell in wide if all(cell[axis] in values for axis, values in select.items())}
    assert {*narrow} == kept
    assert len(narrow) == len(kept) > 50


def test_nightly_is_the_full_product_with_a_row_of_the_array() -> None:
    rest = rest_rows()
    fixed = {axis: values[:1] for axis, values in PRODUCT.items() if axis not in ("bits", "zp", "dtype")}
    cells = [*Product(rest, fixed)]
    assert Counter(tuple(cell[axis] for axis in ("bits", "zp", "dtype", "family")) for cell in cells) == Counter(
        product(PRODUCT["bits"], PRODUCT["zp"], PRODUCT["dtype"], AXES["family"].values)
    )
    rows = {tuple(row.values()) for row in rest}
    assert {tuple(cell[axis] for axis in REST) for cell in cells} <= rows


def test_nightly_cells_by_number() -> None:
    whole = Product(rest_rows())
    assert whole[-1] == whole[len(whole) - 1] != whole[0]
    assert whole[3:8:2] == (whole[3], whole[5], whole[7])
    assert [*islice(whole, 4)] == [whole[i] for i in range(4)]
    with pytest.raises(IndexError):
        whole[len(whole)]


def test_any_prefix_of_nightly_is_an_even_sample() -> None:
    """At the start, and in a shard: each value about as often as the others, and every pair of values."""
    whole = Product(rest_rows())
    shard = plan("nightly", shard=(700, 1800)).cells
    for cells in (whole[: 11 * 3000], shard[: 11 * 3000]):
        configurations = cells[::11]
        assert len({*configurations}) == 3000
        for axis, values in PRODUCT.items():
            counts = Counter(cell[axis] for cell in configurations)
            for value in values:
                assert counts[value] == pytest.approx(3000 / len(values), rel=0.2), (axis, value)
        values = {**PRODUCT, **{axis: EVERYWHERE[axis] for axis in REST}}
        for one, other in combinations(values, 2):
            pairs = {(cell[one], cell[other]) for cell in configurations}
            assert pairs == {*product(values[one], values[other])}, (one, other)


# --- what is said -------------------------------------------------------------------------------------------------


def test_a_plan_is_described() -> None:
    planned = plan(select={"dtype": ("bf16",)})
    lines = describe(planned)
    free = len(planned.cells) - planned.protected
    assert lines[0] == f"premerge: {len(planned.cells):,} cells, of which a budget may cut the last {free:,}"
    assert [int(line.split()[0].replace(",", "")) for line in lines[1:5]] == [s.cells for s in planned.stretches]
    illegal = sum(illegal_reason(cell) is not None for cell in planned.cells)
    assert lines[5] == f"{illegal:,} of the cells are illegal: every flow must raise there"
    assert tuple(lines[6:]) == planned.cut
