"""What there is to name: axes, cells, lanes, edges, backends, presets, stages and needs, each as a table of texts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from types import MappingProxyType
from typing import Final

from parity.axes import AXES, PRESETS
from parity.cells import Cell, illegal_reason
from parity.record import STAGES


@dataclass(frozen=True, slots=True, kw_only=True)
class Listing:
    """A table: one text a column in every row; `more` = rows that a limit left out."""

    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    more: int = 0

    def to_json(self) -> dict[str, object]:
        """{"rows": [{column: text}], "more": n}."""
        return {"rows": [dict(zip(self.columns, row, strict=True)) for row in self.rows], "more": self.more}


_MEANINGS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "scale": "the step between two codes, as stored",
        "zero_point": "the code (or, in domain float, the value) that stands for zero",
        "codes": "integers in [qmin, qmax]",
        "packed": "codes as bytes",
        "dequantized": "what the codes stand for",
        "output": "what the layer returned",
        "grad.input": "gradient of the input, straight through rounding",
        "grad.weight": "gradient of the weight, straight through rounding",
    }
)


def list_axes() -> Listing:
    """name, default, values, meaning of every axis, in the order of ids."""
    rows = [(axis.name, axis.default or "-", _values(axis.values), axis.meaning) for axis in AXES.values()]
    return Listing(columns=("axis", "default", "values", "meaning"), rows=tuple(rows))


def list_presets() -> Listing:
    """Every preset with the axis values it means."""
    axes = tuple(next(iter(PRESETS.values())))
    rows = [(name, *(values[axis] or "-" for axis in axes)) for name, values in PRESETS.items()]
    return Listing(columns=("preset", *axes), rows=tuple(rows))


def list_stages() -> Listing:
    """Every stage in the order in which lanes are compared."""
    rows = [(stage, _MEANINGS.get(stage) or _MEANINGS[stage.partition(".")[2]]) for stage in STAGES]
    return Listing(columns=("stage", "meaning"), rows=tuple(rows))


def list_capabilities() -> Listing:
    """The table of what is needed by device, mode, dtype and layout, and what this machine lacks of it."""
    from kernels.availability import NEEDS
    from kernels.machine import this_machine

    here = this_machine()
    rows = []
    for need in NEEDS:
        asked = (need.devices, need.modes, tuple(str(d).removeprefix("torch.") for d in need.dtypes), need.layouts)
        columns = [" ".join(names) or "any" for names in asked]
        if need.elsewhere:
            columns[0] = f"not {need.elsewhere}"
        rows.append((*columns, need.needs, "there" if need.met(here) else need.missing.format(m=here)))
    return Listing(columns=("device", "mode", "dtype", "layout", "needs", "here"), rows=tuple(rows))


def list_cells(cells: Sequence[Cell], limit: int | None) -> Listing:
    """The ids of a plan's cells in the order in which they run, and why some must be refused."""
    shown = islice(cells, limit)
    rows = tuple((cell.id, f"illegal: {reason}" if (reason := illegal_reason(cell)) else "") for cell in shown)
    return Listing(columns=("cell", "note"), rows=rows, more=len(cells) - len(rows))


def list_edges(cells: Sequence[Cell]) -> Listing:
    """The edges declared on a plan's cells: contract, number of cells, and why the two lanes are compared."""
    from parity.edges import edges_of

    pairs = Counter(edge for cell in cells for edge in edges_of(cell))
    rows = ((str(edge), edge.contract, str(pairs[edge]), edge.why) for edge in pairs)
    return Listing(columns=("edge", "contract", "cells", "why"), rows=tuple(sorted(rows)))


def list_lanes(cells: Sequence[Cell]) -> Listing:
    """The lanes of a plan's edges, and why some of them cannot run on this machine."""
    from parity.backends.registry import backend_named
    from parity.edges import edges_of

    on = Counter(lane for cell in cells for lane in {end for edge in edges_of(cell) for end in (edge.a, edge.b)})
    rows = ((str(lane), str(n), backend_named(lane.backend).unrun(lane) or "runs here") for lane, n in on.items())
    return Listing(columns=("lane", "cells", "here"), rows=tuple(sorted(rows)))


def list_backends() -> Listing:
    """Every announced backend, its flows, and why it cannot be used here."""
    from parity.backends.registry import backend_names

    rows = [(name, *_backend(name)) for name in backend_names()]
    return Listing(columns=("backend", "flows", "here"), rows=tuple(rows))


def _backend(name: str) -> tuple[str, str]:
    """(flows, whether the first of them runs on this machine); importing it may be what fails."""
    from parity.backends.registry import backend_named
    from parity.lanes import Lane

    try:
        backend = backend_named(name)
        missing = backend.unrun(Lane(backend=name, flow=backend.flows[0]))
    except Exception as error:  # somebody else's package: whatever it raises is why it is not available
        return "-", f"cannot be imported: {type(error).__name__}: {error}"
    return ", ".join(backend.flows), missing or "runs here"


def _values(values: Sequence[str]) -> str:
    shown = (*values[:3], "...", values[-1]) if len(values) > 16 else values
    return " ".join(value or "-" for value in shown)


# What `parity list` can show; those that are made from a plan's cells take them.
FIXED: Final[Mapping[str, Callable[[], Listing]]] = MappingProxyType(
    {
        "axes": list_axes,
        "backends": list_backends,
        "capabilities": list_capabilities,
        "presets": list_presets,
        "stages": list_stages,
    }
)
OF_CELLS: Final[Mapping[str, Callable[[Sequence[Cell]], Listing]]] = MappingProxyType(
    {"edges": list_edges, "lanes": list_lanes}
)
