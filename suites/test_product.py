"""Nightly is the full product it says it is, in an order of which any stretch is a fair sample."""

from collections import Counter
from itertools import combinations, islice, product

import pytest

from parity.axes import AXES, PRESET
from parity.covering import EVERYWHERE
from parity.matrix import MOST_CELLS, chunks, plan
from parity.product import PRODUCT, REST, Product, rest_rows


def test_nightly_is_counted_and_refused_whole() -> None:
    axes = 8 * 7 * 4 * 2 * 9 * 3 * 5 * 5 * 6 * 6 * 4
    assert len(Product()) == axes * 11 == 479_001_600
    with pytest.raises(
        ValueError, match=r"^this would run 479,001,600 cells of nightly, and a run holds at most"
    ) as no:
        plan("nightly")
    n = int(str(no.value).rpartition("/")[2])
    assert len(plan("nightly", shard=(1, n)).cells) <= MOST_CELLS
    with pytest.raises(ValueError, match=f"such as --shard 1/{n}$"):
        plan("nightly", shard=(1, n - 20))


@pytest.mark.parametrize("families", [("ties",), AXES["family"].values[:5], AXES["family"].values])
def test_nightly_shards_part_it_by_whole_chunks(families: tuple[str, ...]) -> None:
    """On a selection small enough to list: no cell twice, none lost, chunk for chunk, the last one too."""
    select = {"bits": ("3",), "group": ("16", "row"), "scale": ("model",), "ascale": ("fp32",), "eps": ("1e-3",)}
    select |= {"aeps": ("normal",), "device": ("cpu",), "zp": ("int8", PRESET), "family": families}
    whole = plan("nightly", select=select)
    assert len(whole.cells) == 2 * 4 * 2 * 2 * 3 * len(families) == len({*whole.cells})
    for n in (1, 2, 5):
        held = [*range(1, n + 1)][: len(chunks(whole.cells))]
        shards = [plan("nightly", select=select, shard=(i, n)) for i in held]
        together = Counter(chunk.cells for shard in shards for chunk in chunks(shard.cells))
        assert together == Counter(chunk.cells for chunk in chunks(whole.cells))


def test_nightly_selection_is_what_the_whole_has_there() -> None:
    """Selecting on axes of the product, of the array beside it, and the family keeps each cell as it is."""
    fixed = {"bits": ("3",), "group": ("16",), "scale": ("model",), "ascale": ("fp32",), "eps": ("1e-3",)}
    wide = Product(selected={**fixed, "device": ("cpu", "mps")})
    select = {"domain": ("int", PRESET), "shape": ("4x48", "8x192"), "family": ("ties", "huge"), "device": ("cpu",)}
    narrow = Product(selected={**fixed, **select})
    kept = {cell for cell in wide if all(cell[axis] in values for axis, values in select.items())}
    assert {*narrow} == kept
    assert len(narrow) == len(kept) > 50


def test_nightly_is_the_full_product_with_a_row_of_the_array() -> None:
    fixed = {axis: values[:1] for axis, values in PRODUCT.items() if axis not in ("bits", "zp", "dtype")}
    cells = [*Product(selected=fixed)]
    assert Counter(tuple(cell[axis] for axis in ("bits", "zp", "dtype", "family")) for cell in cells) == Counter(
        product(PRODUCT["bits"], PRODUCT["zp"], PRODUCT["dtype"], AXES["family"].values)
    )
    rows = {tuple(row.values()) for row in rest_rows()}
    assert {tuple(cell[axis] for axis in REST) for cell in cells} <= rows


def test_nightly_cells_by_number() -> None:
    whole = Product()
    assert whole[-1] == whole[len(whole) - 1] != whole[0]
    assert whole[3:8:2] == (whole[3], whole[5], whole[7])
    assert [*islice(whole, 4)] == [whole[i] for i in range(4)]
    with pytest.raises(IndexError):
        whole[len(whole)]


def test_any_prefix_of_nightly_is_an_even_sample() -> None:
    """At the start, and in a shard: each value about as often as the others, and every pair of values."""
    whole = Product()
    shard = plan("nightly", shard=(700, 2400)).cells
    for cells in (whole[: 11 * 3000], shard[: 11 * 3000]):
        configurations = cells[::11]
        assert len({*configurations}) == 3000
        for axis, values in PRODUCT.items():
            counts = Counter(cell[axis] for cell in configurations)
            for value in values:
                assert counts[value] == pytest.approx(3000 / len(values), rel=0.2), (axis, value)
        every = {**PRODUCT, **{axis: EVERYWHERE[axis] for axis in REST}}
        for one, other in combinations(every, 2):
            pairs = {(cell[one], cell[other]) for cell in configurations}
            assert pairs == {*product(every[one], every[other])}, (one, other)
