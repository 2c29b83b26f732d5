"""A cell of a layer is fed from files: weight, bias and captured input, cast once to the cell's dtype.

Kinds of layers, and which tensors make one: `Source.layers`. Which cells a layer has: parity.layer_cells.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Final

import torch
from torch import Tensor

from parity.axes import AXES, SYNTHETIC
from parity.cells import Cell
from parity.counter import normal_like, seed_of, words
from parity.inputs import Inputs, make_inputs
from parity.schemes import DTYPES
from parity.tensor_file import Form, TensorFile, TensorFileError
from quant import QuantScheme

ROWS: Final = 64  # of an input: what parity.capture keeps, and what is drawn for a layer without a captured one
MAX_ELEMENTS: Final = 2**27  # of a weight or an input; the lanes of a cell take some twenty times as many bytes
FLOATS: Final = ("F32", "BF16", "F16")
INDICES: Final = ("I64", "I32")


class Kind(StrEnum):
    """What a layer does with its weight: the value of the axis op."""

    LINEAR = "linear"
    EMBEDDING = "embedding"


@dataclass(frozen=True, slots=True, kw_only=True)
class Layer:
    """NAME.weight [rows, columns], and whether NAME.bias [rows] stands beside it."""

    name: str
    kind: Kind
    shape: tuple[int, int]
    bias: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Layers:
    """The layers of a file in the order of their names; `skipped` says of each other matrix why it is none."""

    found: tuple[Layer, ...]
    skipped: tuple[str, ...]

    def named(self, name: str) -> Layer:
        """Raises ValueError, with the names there are, for one that is not among them."""
        for layer in self.found:
            if layer.name == name:
                return layer
        raise ValueError(f"there is no layer {name!r}; the layers are {', '.join(layer.name for layer in self.found)}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """Inputs for evaluate(): a layer's cell is fed from the files, any other cell as its id says.

    A layer's input is NAME.input of `activations`, or of `weights` where no activations are given. A layer without one
    gets an input drawn from a counter, the same values for all its cells. Holds paths alone, so that a worker process
    can be handed one and opens the files itself.
    """

    weights: Path
    activations: Path | None = None

    def __call__(self, cells: Sequence[Cell], schemes: Sequence[QuantScheme]) -> Inputs:
        """The inputs of cells of one configuration.

        Raises ValueError for a layer that the file does not have, or that is no layer for the cell's op.
        """
        cell = cells[0]
        if cell["layer"] == SYNTHETIC:
            return make_inputs(cells, schemes)
        layer = self.layers().named(cell["layer"])
        if cell["op"] != layer.kind:
            raise ValueError(f"the layer {layer.name} is for op {layer.kind.value}, but the cell has op {cell['op']}")
        weight, bias, x = self.values(layer)
        dtype, count = DTYPES[cell["dtype"]], len(cells)
        return Inputs(
            _stacked(weight, dtype, count),
            None if bias is None else _stacked(bias, dtype, count),
            _stacked(x, dtype, count),
        )

    def values(self, layer: Layer) -> tuple[Tensor, Tensor | None, Tensor]:
        """Weight, bias and input as the files hold them."""
        file = TensorFile.open(self.weights)
        bias = file.tensor(f"{layer.name}.bias") if layer.bias else None
        captured = self.captured(layer)
        return file.tensor(f"{layer.name}.weight"), bias, _drawn(layer) if captured is None else captured

    def captured(self, layer: Layer) -> Tensor | None:
        """The layer's input as rows, floats [T, columns] or indices [T]; None where the files have none.

        Raises TensorFileError where there is one that the layer cannot take.
        """
        file, name = TensorFile.open(self.activations or self.weights), f"{layer.name}.input"
        form = file.forms.get(name)
        if form is None or form.elements == 0:
            return None
        (rows, columns), said = layer.shape, f"{name} in {file.path} is {form}"
        if layer.kind is Kind.EMBEDDING and form.dtype not in INDICES:
            raise TensorFileError(f"{said}, but an embedding takes indices, {' or '.join(INDICES)}.")
        if layer.kind is Kind.LINEAR and (form.dtype not in FLOATS or form.shape[-1:] != (columns,)):
            raise TensorFileError(f"{said}, but a weight of {columns} columns takes floats in as many.")
        if form.elements * (columns if layer.kind is Kind.EMBEDDING else 1) > MAX_ELEMENTS:
            raise TensorFileError(f"{said}, more than the {MAX_ELEMENTS} elements that a cell may look up or multiply.")
        x = file.tensor(name)
        if layer.kind is Kind.LINEAR:
            return x.reshape(-1, columns)
        if bool(((x < 0) | (x >= rows)).any()):
            raise TensorFileError(f"{said} with indices outside the {rows} rows of its weight.")
        return x.to(torch.int64).flatten()

    def layers(self) -> Layers:
        """Every 2-d NAME.weight of fp32, bf16 or fp16 with its NAME.bias.

        A layer is an embedding where the metadata of either file says NAME.kind = embedding, or, where they say
        nothing of it, where its name holds "embedding". Raises TensorFileError for a file that cannot be read.
        """
        file = TensorFile.open(self.weights)
        stated = {**file.metadata, **(TensorFile.open(self.activations).metadata if self.activations else {})}
        found, skipped = [], []
        for name in sorted(name.removesuffix(".weight") for name in file.forms if name.endswith(".weight")):
            weight = file.forms[f"{name}.weight"]
            if len(weight.shape) != 2:
                continue  # a LayerNorm, a convolution: nothing that is quantized here
            kind = stated.get(f"{name}.kind", "embedding" if "embedding" in name.lower() else "linear")
            bias = file.forms.get(f"{name}.bias")
            reason = _refusal(name, kind, weight, bias)
            if reason is not None:
                skipped.append(f"{name} is skipped: {reason}.")
                continue
            rows, columns = weight.shape
            has_bias = bias is not None and kind == Kind.LINEAR
            found.append(Layer(name=name, kind=Kind(kind), shape=(rows, columns), bias=has_bias))
        return Layers(found=tuple(found), skipped=tuple(skipped))


def layers(file: Path) -> Layers:
    """The layers of one file; see Source.layers."""
    return Source(weights=file).layers()


def _refusal(name: str, kind: str, weight: Form, bias: Form | None) -> str | None:
    """Why a matrix is no layer, told from the header."""
    if weight.dtype not in FLOATS:
        return f"its weight is {weight.dtype}, and layers are taken in {', '.join(FLOATS)}"
    if not 0 < weight.elements <= MAX_ELEMENTS:
        return f"its weight has {weight.elements} elements, and layers are taken with 1 to {MAX_ELEMENTS}"
    if name == SYNTHETIC or re.fullmatch(AXES["layer"].pattern, name) is None:
        return f"a cell's id takes layers whose names match {AXES['layer'].pattern} and are not {SYNTHETIC}"
    if kind not in tuple(Kind):
        return f"the metadata says that it is of the kind {kind!r}; kinds are {', '.join(Kind)}"
    if bias is not None and kind == Kind.LINEAR and (bias.dtype not in FLOATS or bias.shape != weight.shape[:1]):
        return f"its bias is {bias}, which is not one float for each row of its weight, {weight}"
    return None


def _stacked(x: Tensor, dtype: torch.dtype, count: int) -> Tensor:
    """`count` times x: floats, which have at most 32 bits here, rounded once to dtype; indices as they are."""
    value = x.to(dtype) if x.is_floating_point() else x
    return value.expand(count, *value.shape).contiguous()


def _drawn(layer: Layer) -> Tensor:
    """ROWS rows of near-normal values, or as many indices, from the layer's name."""
    seed, (rows, columns) = seed_of(f"layer:{layer.name}", "input"), layer.shape
    if layer.kind is Kind.EMBEDDING:
        return (words(seed, ROWS)[0] >> 1 & (1 << 62) - 1) % rows
    return normal_like(words(seed, 4 * ROWS * columns), torch.float32).reshape(ROWS, columns)
