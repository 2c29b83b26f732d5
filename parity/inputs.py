"""A cell's input is a function of its id: weight, bias and activation, alone or stacked with others, the same bits.

Values come from a counter-based integer generator; which scheme they aim at is the cell's own.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from hashlib import blake2b
from types import MappingProxyType
from typing import Final

import torch
from torch import Tensor

from parity.aim import Aim
from parity.aims import Laying
from parity.axes import OPERATIONS
from parity.cells import Cell
from parity.counter import normal_like, seed_of, words
from parity.digest import digests
from parity.fills import AIMED_FAMILIES, FAMILY_FILLS, Fill, Target, random
from parity.schemes import DTYPES
from quant import QuantScheme, TensorScheme
from quant.granularity import groups_of

TOKENS = 8
NOTHING: Final[Mapping[tuple[str, str], Aim]] = MappingProxyType({})
SHAPES_BY_RANK = {"1": (), "2": (TOKENS,), "3": (2, TOKENS // 2), "4": (2, 2, TOKENS // 4)}


@dataclass(frozen=True, slots=True)
class Inputs:
    """What a case feeds every lane; every tensor has a leading dimension of cases, contiguous.

    weight [S, N, K], bias [S, N] or None, x [S, ..., K] (indices [S, ...] for an embedding); aims = where its ties lie.
    """

    weight: Tensor
    bias: Tensor | None
    x: Tensor
    aims: tuple[Aim, ...] = ()

    def case(self, i: int) -> Inputs:
        """Case i as a stack of one."""
        return Inputs(self.weight[i : i + 1], None if self.bias is None else self.bias[i : i + 1], self.x[i : i + 1])


def make_inputs(
    cells: Sequence[Cell], schemes: Sequence[QuantScheme], carried: Mapping[tuple[str, str], Aim] = NOTHING
) -> Inputs:
    """The inputs of cells of one configuration. `schemes` are what its lanes carry out: ties are laid at their scales.

    carried = aims by cell and operand, of a run whose cases are to be made again whatever scale is chosen now. Raises
    ValueError when the weight's shape does not fit a scheme.
    """
    cell = cells[0]
    dtype = DTYPES[cell["dtype"]]
    rows, columns = (int(n) for n in cell["shape"].split("x"))
    shift = [int(c["case"]) for c in cells]
    families = [c["family"] for c in cells]

    def operand(name: str, shape: tuple[int, ...], aimed: Sequence[TensorScheme]) -> tuple[Tensor, tuple[Aim, ...]]:
        resolved = [scheme.resolved(dtype) for scheme in aimed]
        laying = Laying([carried.get((c.id, name)) for c in cells])
        eps = laying.eps(resolved)
        at = [
            replace(scheme, eps=own) if own != scheme.eps else scheme for scheme, own in zip(resolved, eps, strict=True)
        ]
        tensor = filled(_seeds(cells, name), families, shift, shape, at, dtype, laying)
        return tensor, tuple(
            aim for aim, c in zip(laying.aims(cells, name, eps), cells, strict=False) if c["family"] in AIMED_FAMILIES
        )

    weight, aims = operand("weight", (rows, columns), [s.weight for s in schemes])
    shape: tuple[int, ...] = SHAPES_BY_RANK[cell["rank"]]
    if cell["op"] in OPERATIONS:
        shape = (TOKENS,) if cell["op"] == "matmul" else (rows,)
    if cell["op"] == "embedding":
        count = max(1, torch.Size(shape).numel())
        indices = (words(_seeds(cells, "input"), count) >> 1) % rows
        return Inputs(weight, None, _expandable(indices.reshape(len(cells), *shape), cell), aims)
    activations = [s.activation for s in schemes if s.activation is not None]
    x, of_input = operand("input", (*shape, columns), activations)
    x = _expandable(x, cell)
    bias = None
    if cell["bias"] == "yes" and cell["op"] not in OPERATIONS:
        bias = normal_like(words(_seeds(cells, "bias"), 4 * rows), dtype)
    return Inputs(weight, bias, x, aims + of_input)


def _expandable(x: Tensor, cell: Cell) -> Tensor:
    """x as it is, or its first row throughout where the layout will be a view that repeats it."""
    return x[:, :1].expand(x.shape).contiguous() if cell["layout"] == "expanded" and x.dim() > 2 else x


def _seeds(cells: Sequence[Cell], role: str) -> list[int]:
    return [seed_of(cell.id, role) for cell in cells]


def filled(
    seeds: Sequence[int],
    families: Sequence[str],
    shifts: Sequence[int],
    shape: tuple[int, ...],
    schemes: Sequence[TensorScheme],
    dtype: torch.dtype,
    laying: Laying | None = None,
) -> Tensor:
    """[S, *shape]: the groups of every case filled, each by the next fill of its family; seeds, families and shifts
    have one entry a case, schemes are resolved and share one granularity. laying = where ties are to lie, or are kept.

    Raises ValueError when the shape does not fit the granularity.
    """
    size = torch.Size(shape).numel()
    drawn = words(seeds, size)
    if all(FAMILY_FILLS[family] == (random,) for family in families):  # needs no groups: each value stands alone
        return random(drawn, Target(dtype=dtype, scheme=None)).to(dtype).reshape(-1, *shape)
    grouping = _Grouping.of(schemes[0] if schemes else None, shape)
    groups = grouping.split(drawn)
    values = torch.empty(groups.shape, dtype=dtype)
    laid = Laying() if laying is None else laying
    laid.start(len(seeds), groups.shape[1])
    for fill, aim, at, group in _places(families, shifts, groups.shape[1], max(1, len(schemes))):
        target = Target(dtype=dtype, scheme=schemes[aim] if schemes else None, choose=laid.at(at, group))
        values[at, group] = fill(groups[at, group], target).to(dtype)
    return grouping.join(values)


def _places(
    families: Sequence[str], shifts: Sequence[int], count: int, schemes: int
) -> Iterator[tuple[Fill, int, Tensor, Tensor]]:
    """(fill, scheme aimed at, cases, groups): where each fill goes, a function of each case's own id alone."""
    for family in dict.fromkeys(families):
        fills = FAMILY_FILLS[family]
        cases = torch.tensor([i for i, other in enumerate(families) if other == family])
        turns = torch.arange(count) + torch.tensor([shifts[i] for i in cases.tolist()]).unsqueeze(1) * count
        position = turns % len(fills)
        first = torch.tensor([fills.index(fill) for fill in fills])  # a fill that comes often is called once
        key = first[position] * schemes + (turns // len(fills) + position // 2) % schemes
        for chosen in key.unique().tolist():
            at, group = (key == chosen).nonzero(as_tuple=True)
            yield fills[chosen // schemes], chosen % schemes, cases[at], group


@dataclass(frozen=True, slots=True)
class _Grouping:
    """[S, size] as [S, groups, group size] and back to [S, *shape], whatever dimensions a group spans."""

    view: tuple[int, ...]
    order: tuple[int, ...]
    group_size: int
    shape: tuple[int, ...]

    @classmethod
    def of(cls, scheme: TensorScheme | None, shape: tuple[int, ...]) -> _Grouping:
        """Groups as the scheme shares scales, or one group a row where nothing is quantized."""
        if scheme is None:
            return cls(view=shape, order=tuple(range(len(shape))), group_size=shape[-1], shape=shape)
        groups = groups_of(scheme.granularity, shape)
        view, reduced = groups.view, groups.reduced
        kept = tuple(i for i in range(len(view)) if i not in reduced)
        group_size = torch.Size(view[i] for i in reduced).numel()
        return cls(view=view, order=(*kept, *reduced), group_size=group_size, shape=shape)

    def split(self, flat: Tensor) -> Tensor:
        ordered = flat.reshape(-1, *self.view).permute(0, *(i + 1 for i in self.order))
        return ordered.reshape(len(flat), -1, self.group_size)

    def join(self, groups: Tensor) -> Tensor:
        ordered = groups.reshape(-1, *(self.view[i] for i in self.order))
        back = sorted(range(len(self.order)), key=self.order.__getitem__)
        return ordered.permute(0, *(i + 1 for i in back)).reshape(-1, *self.shape)


def input_digests(inputs: Inputs) -> list[str]:
    """One digest a case, of its weight, bias and activation together."""
    parts = [digests(tensor) for tensor in (inputs.weight, inputs.bias, inputs.x) if tensor is not None]
    return [blake2b("".join(texts).encode(), digest_size=8).hexdigest() for texts in zip(*parts, strict=True)]
