"""Which cells ATen's int4 product on CPU has a counterpart of: data, without torch."""

from __future__ import annotations

from typing import Final

from parity.cells import Cell, concrete

ATEN_INT4: Final = "aten_int4"
TINYGEMM_CPU: Final = "tinygemm_cpu"
_FIXED: Final = {
    "op": "linear",
    "act": "none",
    "mapping": "asymmetric",
    "domain": "float",
    "pz": "no",
    "bits": "4",
    "steps": "0",
    "device": "cpu",
}
_PACKINGS: Final = ("none", "cpu_int4_avx512")
_GROUPS: Final = ("32", "64")
_SHAPES: Final = ("32x64",)  # a multiple of 16 rows


def multiplies(cell: Cell) -> bool:
    """Whether the kernel takes the cell: grid 0 .. 15, a zero point that is a value, all in one dtype."""
    point = concrete(cell)
    fits = all(point[axis] == value for axis, value in _FIXED.items())
    one_dtype = point["scale"] == point["dtype"] and point["zp"] in ("model", point["dtype"])
    fits = fits and point["packing"] in _PACKINGS
    return fits and one_dtype and point["group"] in _GROUPS and point["shape"] in _SHAPES
