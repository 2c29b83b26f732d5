"""A cell = one point of the matrix. Its id names the axes that differ from their defaults, in the axes' order.

The id is the pytest selector, the record key and the anchor in the page: "dtype:bf16,scale:fp16"; "default" when
nothing differs.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

from parity.axes import AXES, FROM_FILE, PRESET, PRESETS, SYNTHETIC, ZERO_POINTS
from parity.forbidden import FORBIDDEN

DEFAULT_ID = "default"


@dataclass(frozen=True, slots=True)
class Cell:
    """One value for every axis, in the axes' order; equal cells are the same point. Made by cell_at or parse_cell."""

    values: tuple[str, ...]

    def __getitem__(self, axis: str) -> str:
        return self.values[_POSITIONS[axis]]

    @property
    def id(self) -> str:
        """The text that parse_cell reads back."""
        return _id(self.values)

    def at(self, **values: str) -> Cell:
        """This cell with some axes at other values."""
        return cell_at({**dict(zip(AXES, self.values, strict=True)), **values})

    @property
    def configuration(self) -> Cell:
        """This cell with its inputs left out: cells of one configuration can be stacked."""
        values = list(self.values)
        for axis in ("family", "case"):
            values[_POSITIONS[axis]] = AXES[axis].default
        return Cell(tuple(values))


@lru_cache(maxsize=65536)
def _id(values: tuple[str, ...]) -> str:
    parts = [
        f"{name}:{value}" for (name, axis), value in zip(AXES.items(), values, strict=True) if value != axis.default
    ]
    return ",".join(parts) or DEFAULT_ID


_POSITIONS = {name: position for position, name in enumerate(AXES)}


def cell_at(values: Mapping[str, str]) -> Cell:
    """The cell with these axis values and defaults elsewhere.

    Raises ValueError for an unknown axis or value, and for a layer with an axis set that its file decides.
    """
    for name, value in values.items():
        axis = AXES.get(name)
        if axis is None:
            raise ValueError(f"there is no axis {name!r}; the axes are {', '.join(AXES)}")
        if not axis.takes(value):
            shown = ", ".join(axis.values if len(axis.values) < 20 else (*axis.values[:3], "...", axis.values[-1]))
            shown += f", or what {axis.pattern} matches" if axis.pattern else ""
            raise ValueError(f"axis {name} has no value {value!r}; its values are {shown}")
    layer = values.get("layer", SYNTHETIC)
    decided = [] if layer == SYNTHETIC else [a for a in FROM_FILE if values.get(a, AXES[a].default) != AXES[a].default]
    if decided:
        raise ValueError(
            f"the layer {layer} brings its own {', '.join(decided)}; leave that out, or leave out the layer"
        )
    return Cell(tuple(values.get(name, axis.default) for name, axis in AXES.items()))


def parse_cell(text: str) -> Cell:
    """The cell of an id. Raises ValueError for text that is no id, or not in the form that ids have."""
    if text == DEFAULT_ID:
        return cell_at({})
    pairs = [part.partition(":") for part in text.split(",")]
    cell = cell_at({name: value for name, _, value in pairs})
    if cell.id != text:
        raise ValueError(f"{text!r} is not how the cell is written; write {cell.id!r}")
    return cell


@lru_cache(maxsize=65536)
def concrete(cell: Cell) -> Mapping[str, str]:
    """Every axis at a value that says what it is: "preset", "model" and eps by name are resolved."""
    point = dict(zip(AXES, cell.values, strict=True))
    defaults = PRESETS[point["preset"]]
    for axis, value in point.items():
        if value == PRESET and axis != "zp":
            point[axis] = defaults[axis]
    if point["zp"] == PRESET:
        point["zp"] = zero_point_dtype(point["mapping"], point["domain"])
    for dtype_axis, eps_axis in (("scale", "eps"), ("ascale", "aeps")):
        if point[dtype_axis] == "model":
            point[dtype_axis] = point["dtype"]
        point[eps_axis] = _eps(point[eps_axis], point["dtype"], point[dtype_axis])
    return point


def zero_point_dtype(mapping: str, domain: str) -> str:
    """What "preset" means on the axis zp, for a concrete mapping and domain."""
    return "model" if (mapping, domain) == ("stretched", "int") else ZERO_POINTS[domain]


def _eps(eps: str, dtype: str, scale: str) -> str:
    """An eps by name as the number it is, in the one case that legality turns on: 2**-126, which fp16 cannot hold."""
    of = {"normal": scale, "input_normal": dtype}.get(eps)
    return "2**-126" if of in ("fp32", "bf16") else eps


@lru_cache(maxsize=65536)
def illegal_reason(cell: Cell) -> str | None:
    """Why the cell has no meaning, or None when it must run; decided by the table in parity.axes alone."""
    point = concrete(cell)
    return next((row.reason for row in FORBIDDEN if row.holds(point)), None)
