"""The parts of the page that compute: ids as columns, what differing pairs have in common, columns as text."""

from itertools import product

import numpy as np
import pytest

from parity.axes import AXES
from parity.cells import cell_at
from reports.coordinates import AxisColumn, Coordinates, coordinates
from reports.explanation import Explanation, explain
from reports.payload import deflate, pack, unpack
from reports.stage_formulas import FORMULAS, SHORT


def composed(told: Coordinates, cell: int) -> str:
    """The id as the page composes it."""
    parts = [f"{axis.name}:{axis.words[axis.codes[cell]]}" for axis in told.axes if axis.codes[cell]]
    return told.odd.get(cell) or ",".join(parts) or "default"


def test_ids_are_composed_again_from_their_columns() -> None:
    points = product(("fp32", "bf16"), ("preset", "fp16"), ("0", "63"), ("cpu", "cuda"))
    ids = [cell_at({"dtype": d, "scale": s, "case": c, "device": v}).id for d, s, c, v in points]
    told = coordinates(ids)
    assert not told.odd
    assert [composed(told, i) for i in range(len(ids))] == ids
    assert [axis.name for axis in told.axes] == list(AXES)
    assert all(axis.words[0] == AXES[axis.name].default for axis in told.axes)


@pytest.mark.parametrize(
    "odd",
    [
        "",
        "default,dtype:bf16",
        "dtype:fp32",  # a default that the id should leave out
        "scale:bf16,dtype:bf16",  # out of order
        "dtype:bf16,dtype:fp16",
        "no_such_axis:1",
        "dtype",
        "dtype:",
        "<b>,</b>",
    ],
)
def test_text_that_is_no_id_is_kept_as_it_is(odd: str) -> None:
    told = coordinates(["default", odd, "dtype:bf16"])
    assert told.odd == {1: odd}
    assert [composed(told, i) for i in (0, 2)] == ["default", "dtype:bf16"]


def test_value_that_the_axis_has_not_is_a_word_like_another() -> None:
    """A run of another checkout: its cells are still shown by their axes."""
    told = coordinates(["dtype:fp8", "dtype:bf16"])
    assert not told.odd
    (dtype,) = (axis for axis in told.axes if axis.name == "dtype")
    assert dtype.words == ("fp32", "bf16", "fp8")


def axes_of(**values: list[str]) -> list[AxisColumn]:
    """A column for each keyword: the words of its cells, in order."""
    columns = []
    for name, told in values.items():
        words = tuple(dict.fromkeys(told))
        columns.append(AxisColumn(name=name, words=words, codes=np.array([words.index(v) for v in told], np.uint16)))
    return columns


def explained(axes: list[AxisColumn], differing: list[int]) -> Explanation:
    equal = [i for i in range(len(axes[0].codes)) if i not in differing]
    return explain(axes, np.array(differing, np.int64), np.array(equal, np.int64))


GRID = list(product(("fp32", "bf16", "fp16"), ("fp32", "bf16"), ("int", "float")))
AXES_OF_GRID = axes_of(
    dtype=[dtype for dtype, _, _ in GRID], scale=[scale for _, scale, _ in GRID], domain=[d for _, _, d in GRID]
)


@pytest.mark.parametrize(
    ("red", "sentence"),
    [
        (lambda dtype, scale, domain: dtype == "bf16", "dtype:bf16"),
        (lambda dtype, scale, domain: dtype != "fp32", "dtype:bf16,fp16"),
        (lambda dtype, scale, domain: dtype == "bf16" and scale == "bf16", "dtype:bf16 and scale:bf16"),
        (
            lambda dtype, scale, domain: (dtype, scale, domain) == ("fp16", "fp32", "int"),
            "dtype:fp16 and scale:fp32 and domain:int",
        ),
        (lambda dtype, scale, domain: True, "every pair compared differs"),
        (
            lambda dtype, scale, domain: (dtype == "bf16") != (scale == "bf16"),
            "no axis value tells them from equal pairs",
        ),
        (
            lambda dtype, scale, domain: dtype == "bf16" and (scale, domain) != ("bf16", "int"),
            "dtype:bf16 (so have 1 equal pair)",
        ),
    ],
)
def test_smallest_set_of_axis_values_that_explains(red: object, sentence: str) -> None:
    assert callable(red)
    assert explained(AXES_OF_GRID, [i for i, point in enumerate(GRID) if red(*point)]).sentence == sentence


def test_of_two_axes_that_explain_alike_the_one_with_fewer_values_is_named() -> None:
    axes = axes_of(family=["1", "2", "3", "4"], preset=["a", "a", "b", "b"])
    assert explained(axes, [0, 1]).sentence == "preset:a"


def test_neither_a_seed_nor_a_long_list_of_values_is_an_explanation() -> None:
    draws = [str(i) for i in range(8)]
    assert explained(axes_of(case=draws), [0]).sentence == "no axis value tells them from equal pairs"
    assert explained(axes_of(family=draws), [0, 1, 2, 3]).sentence == "family:0,1,2,3"
    assert explained(axes_of(family=draws), [0, 1, 2, 3, 4]).sentence == "no axis value tells them from equal pairs"


def test_longer_explanation_must_leave_at_most_half_of_the_equal_pairs() -> None:
    dtype, bits = ["bf16"] * 8 + ["fp32"] * 8, ["4"] * 7 + ["8"] + ["4"] * 8
    assert explained(axes_of(dtype=dtype, bits=bits), [0, 1]).sentence == "dtype:bf16 (so have 6 equal pairs)"
    bits = ["4"] * 2 + ["8"] * 6 + ["4"] * 8
    assert explained(axes_of(dtype=dtype, bits=bits), [0, 1]).sentence == "dtype:bf16 and bits:4"


def test_columns_come_back_as_they_were_packed() -> None:
    columns = {
        "a": np.array([1, 2, 255], np.uint8),
        "b": np.array([2**64 - 1, 0], np.uint64),
        "c": np.array([], np.uint32),
        "d": np.array([0.5, -0.0], np.float64),
    }
    facts, back = unpack(pack({"text": "</script>\u2028", "n": 3}, columns))
    assert facts == {"text": "</script>\u2028", "n": 3}
    assert {name: (column.dtype, column.tolist()) for name, column in back.items()} == {
        name: (column.dtype, column.tolist()) for name, column in columns.items()
    }


def test_column_that_a_page_cannot_read_is_refused() -> None:
    with pytest.raises(ValueError, match="column n is int64; a page reads uint8, uint16, uint32, uint64, float64"):
        pack({}, {"n": np.array([1], np.int64)})


def test_packed_text_has_no_time_in_it() -> None:
    assert deflate(b"parity") == deflate(b"parity")
    assert deflate(b"")[:12] == "H4sIAAAAAAAA", "gzip's time stamp is zero"


def test_every_stage_has_a_line_and_its_own_short_name() -> None:
    assert FORMULAS.keys() == SHORT.keys()
