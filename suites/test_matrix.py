"""A plan is a function of its arguments; shards part it without loss, and chunks hold whole configurations."""

from collections import Counter
from collections.abc import Mapping
from itertools import pairwise, product

import pytest

from parity.axes import AXES, FLOATS, LAYER_PRESETS, LAYERS, PRESETS, SCALES
from parity.cells import cell_at, illegal_reason
from parity.matrix import CHUNK_CELLS, Chunk, chunks, describe, plan
from parity.premerge import EPSES, premerge_parts

# --- premerge -----------------------------------------------------------------------------------------------------


def test_premerge_has_its_parts_in_order() -> None:
    parts = premerge_parts()
    planned = plan("premerge")
    assert [cell for part in parts for cell in part.cells] == list(planned.cells)
    assert len({*planned.cells}) == len(planned.cells) == planned.total == sum(s.cells for s in planned.stretches)
    assert [part.protected for part in parts] == [*[True] * 8, False, False]
    assert planned.protected == sum(len(part.cells) for part in parts[:8])
    assert all(part.cells for part in parts)
    assert planned.cut == ()


def test_premerge_runs_every_preset_with_every_family() -> None:
    cells = {*plan().cells[: plan().protected]}
    for preset, op, dtype, family in product(LAYER_PRESETS, LAYERS, FLOATS, AXES["family"].values):
        assert cell_at({"preset": preset, "op": op, "dtype": dtype, "family": family}) in cells


def test_premerge_runs_the_full_product_of_the_numeric_axes() -> None:
    found = {
        tuple(cell[axis] for axis in ("preset", "dtype", "scale", "domain", "eps", "device", "family"))
        for cell in plan().cells[: plan().protected]
    }
    for point in product(LAYER_PRESETS, FLOATS, SCALES, ("int", "float", "none"), EPSES):
        if point[0] == "int4_weight_only_embedding":
            continue  # whose weights are those of intx_weight_only
        if PRESETS[point[0]]["mapping"] == "stretched":
            assert (*point, "cpu", "directed") in found or point[3] != "int"
            continue
        assert {(*point, "cpu", "directed"), (*point, "cpu", "random"), (*point, "cuda", "directed")} <= found


def test_the_full_product_is_illegal_for_eps_alone() -> None:
    """Mapping and preserve_zero go with the domain, so that the product is not wasted on cells that raise."""
    reasons = Counter(illegal_reason(cell) for cell in premerge_parts()[2].cells)
    assert {*reasons} == {None, "eps rounds to zero in fp16"}
    assert reasons[None] > 0.95 * reasons.total()


def test_other_devices_are_listed() -> None:
    cells = {*plan().cells}
    for device, preset, dtype in product(("xpu", "mps"), LAYER_PRESETS, FLOATS):
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


# --- what is said -------------------------------------------------------------------------------------------------


def test_a_plan_is_described() -> None:
    planned = plan(select={"dtype": ("bf16",)})
    lines = describe(planned)
    free = len(planned.cells) - planned.protected
    assert lines[0] == f"premerge: {len(planned.cells):,} cells, of which a budget may cut the last {free:,}"
    assert [int(line.split()[0].replace(",", "")) for line in lines[1:11]] == [s.cells for s in planned.stretches]
    illegal = sum(illegal_reason(cell) is not None for cell in planned.cells)
    assert lines[11] == f"{illegal:,} of the cells are illegal: every flow must raise there"
    assert tuple(lines[12:]) == planned.cut
