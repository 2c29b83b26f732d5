"""Cells of a weights file = every sound layer x dtype x preset, or x the values selected for an axis."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from types import MappingProxyType
from typing import Final

from torch import Tensor

from parity.axes import AXES, FROM_FILE
from parity.cells import Cell, cell_at, concrete, illegal_reason
from parity.matrix import Plan, Shard, Stretch, chunks
from parity.schemes import DTYPES
from parity.weights import Kind, Layer, Source

# What a layer is run through where the axis preset is not selected.
PRESETS_OF: Final[Mapping[Kind, tuple[str, ...]]] = MappingProxyType(
    {
        Kind.LINEAR: (
            "int8_dynamic_intx_weight",
            "int8_dynamic_int4_weight",
            "xnnpack_recipe",
            "intx_weight_only",
            "int4_weight_only",
        ),
        Kind.EMBEDDING: ("int8_dynamic_intx_weight", "intx_weight_only"),
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerCells:
    """What there is to run, the cells of a layer side by side.

    `skipped`: weights that ought to have been run, a sentence each; they make a run incomplete. `notes`: what a reader
    of the result should know.
    """

    cells: tuple[Cell, ...]
    skipped: tuple[str, ...]
    notes: tuple[str, ...]


def layer_cells(source: Source, select: Mapping[str, Sequence[str]] = MappingProxyType({})) -> LayerCells:
    """Every cell of the files' layers, in the order of layer, dtype, preset, then the other axes selected.

    `select` gives an axis the values to run; layers are run in fp32, bf16 and fp16 unless it says otherwise. A layer
    whose weight, bias or input holds a value that is not finite, or not in one of the dtypes, is skipped there. Raises
    TensorFileError for a file that cannot be read, ValueError for a selection that names what there is not.
    """
    decided = [axis for axis in FROM_FILE if axis in select]
    if decided:
        raise ValueError(f"a layer brings its own {', '.join(decided)}; select by other axes")
    for axis, selected in select.items():
        for value in selected:
            cell_at({axis: value})
    there = source.layers()
    chosen = [there.named(name) for name in dict.fromkeys(select["layer"])] if "layer" in select else there.found
    chosen = [layer for layer in chosen if layer.kind in select.get("op", tuple(Kind))]
    cells: list[Cell] = []
    skipped = list(there.skipped) if "layer" not in select else []
    notes: list[str] = []
    left_out: Counter[str] = Counter()
    for layer in chosen:
        values = source.values(layer)
        flaw = _not_finite(layer, values)
        if flaw is not None:
            skipped.append(flaw)
            continue
        if source.captured(layer) is None:
            notes.append(f"{layer.name} has no captured input: its input is drawn from a counter.")
        for dtype, points in _points(layer, select):
            overflow = _overflow(layer, values, dtype)
            if overflow is None:
                reasons = [_left_out(cell, layer.shape) for cell in points]
                cells += [cell for cell, reason in zip(points, reasons, strict=True) if reason is None]
                left_out.update(reason for reason in reasons if reason is not None)
            else:
                skipped.append(overflow)
    notes += [f"{n} {'cell is' if n == 1 else 'cells are'} left out: {reason}." for reason, n in left_out.items()]
    if not cells and not skipped:
        raise ValueError(f"{source.weights} has no layer that the selection leaves to run")
    return LayerCells(cells=tuple(cells), skipped=tuple(skipped), notes=tuple(notes))


def layer_plan(made: LayerCells, shard: Shard | None = None) -> Plan:
    """The cells as parity.run takes them: none may be cut; `cut` tells what was skipped, and the notes.

    A shard (i, n) is every n-th chunk, from the i-th on. Raises ValueError for a shard that is none.
    """
    i, n = shard or (1, 1)
    if not 1 <= i <= n:
        raise ValueError(f"there is no shard {i}/{n}; write I/N with 1 <= I <= N")
    cells = tuple(cell for chunk in chunks(made.cells)[i - 1 :: n] for cell in chunk.cells)
    layers = len({cell["layer"] for cell in cells})
    part = () if shard is None else (f"Shard {i}/{n} holds {len(cells):,} of {len(made.cells):,} cells.",)
    return Plan(
        tier="weights",
        cells=cells,
        protected=len(cells),
        total=len(made.cells),
        cut=(*made.skipped, *made.notes, *part),
        stretches=(Stretch(cells=len(cells), meaning=f"{layers} layers of the weights file"),),
    )


def _points(layer: Layer, select: Mapping[str, Sequence[str]]) -> list[tuple[str, list[Cell]]]:
    """For each dtype, the cells of a layer: the product of what is selected, legal or not."""
    free = {"preset": PRESETS_OF[layer.kind]} | {
        axis: tuple(dict.fromkeys(values)) for axis, values in select.items() if axis not in ("layer", "op", "dtype")
    }
    fixed = {"layer": layer.name, "op": layer.kind.value}
    return [
        (
            dtype,
            [
                cell_at({**dict(zip(free, point, strict=True)), **fixed, "dtype": dtype})
                for point in product(*free.values())
            ],
        )
        for dtype in dict.fromkeys(select.get("dtype", AXES["dtype"].values))
    ]


def _left_out(cell: Cell, shape: tuple[int, int]) -> str | None:
    """Why the cell has no meaning for a weight of this shape."""
    reason = _misfit(cell, shape)
    return illegal_reason(cell) if reason is None else f"{cell['layer']} has {reason}"


def _misfit(cell: Cell, shape: tuple[int, int]) -> str | None:
    """What of the weight does not divide into the cell's groups: illegal_reason knows the values of the axis shape."""
    group, (rows, columns) = concrete(cell)["group"], shape
    if group.isdigit() and columns % int(group):
        return f"{columns} columns, which do not divide into groups of {group}"
    if group == "block" and (rows % 2 or columns % 16):
        return f"a weight of {rows}x{columns}, which does not divide into blocks of 2x16"
    return None


_ROLES: Final = ("weight", "bias", "input")


def _not_finite(layer: Layer, values: Sequence[Tensor | None]) -> str | None:
    """The sentence about the first tensor with a value that is not finite."""
    for role, tensor in zip(_ROLES, values, strict=True):
        if tensor is None or bool(tensor.isfinite().all()):
            continue
        at = (~tensor.isfinite()).nonzero()
        first = at[0].tolist()
        return (
            f"{layer.name} is skipped: {len(at)} of the {tensor.numel()} values of {layer.name}.{role} are not finite, "
            f"the first is {tensor[tuple(first)].item()} at {first}."
        )
    return None


def _overflow(layer: Layer, values: Sequence[Tensor | None], dtype: str) -> str | None:
    """The sentence about the first tensor that is finite, but not in `dtype`."""
    for role, tensor in zip(_ROLES, values, strict=True):
        if tensor is not None and tensor.is_floating_point() and not bool(tensor.to(DTYPES[dtype]).isfinite().all()):
            largest = tensor.abs().max().item()
            return f"{layer.name} is skipped in {dtype}: {layer.name}.{role} holds {largest:g}, more than {dtype} can."
    return None
