"""Which elements share a scale: a granularity turns a shape into blocks, and blocks into a grouped view.

`block_shape(shape)` is one block size b_i a dimension, or a ValueError when the shape cannot be divided so. Qparams
have the shape n_i / b_i, one entry a block, no dimension dropped.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import torch

Shape = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class PerTensor:
    """One scale for the whole tensor."""

    def block_shape(self, shape: Shape) -> Shape:
        return shape


@dataclass(frozen=True, slots=True)
class PerAxis:
    """One scale for each index of `axis` (0 = per output channel of a weight)."""

    axis: int = 0

    def block_shape(self, shape: Shape) -> Shape:
        if not -len(shape) <= self.axis < len(shape):
            raise ValueError(f"axis is {self.axis}, but the shape {shape} has {len(shape)} dimensions")
        kept = self.axis % len(shape)
        return tuple(1 if i == kept else n for i, n in enumerate(shape))


@dataclass(frozen=True, slots=True)
class PerToken:
    """One scale for each vector along the last dimension."""

    def block_shape(self, shape: Shape) -> Shape:
        if not shape:
            raise ValueError("a tensor without dimensions has no tokens; use PerTensor")
        return (1,) * (len(shape) - 1) + (shape[-1],)


@dataclass(frozen=True, slots=True)
class PerRow:
    """One scale for each row of a matrix (or of a stack of matrices): the last dimension is reduced."""

    def block_shape(self, shape: Shape) -> Shape:
        if len(shape) < 2:
            raise ValueError(f"the shape {shape} has no rows; PerRow needs at least two dimensions")
        return (1,) * (len(shape) - 1) + (shape[-1],)


@dataclass(frozen=True, slots=True)
class PerGroup:
    """One scale for each run of `size` elements along the last dimension."""

    size: int

    def __post_init__(self) -> None:
        if self.size < 1:
            raise ValueError(f"group size is {self.size}; it must be at least 1")

    def block_shape(self, shape: Shape) -> Shape:
        if not shape or shape[-1] % self.size:
            raise ValueError(
                f"group size {self.size} does not divide the last dimension of {shape}; "
                "use a divisor of it, or group_size=None for one scale per channel"
            )
        return (1,) * (len(shape) - 1) + (self.size,)


@dataclass(frozen=True, slots=True)
class PerBlock:
    """One scale for each block: its sizes in the last dimensions; in those before them it has size 1."""

    shape: Shape

    def block_shape(self, shape: Shape) -> Shape:
        blocks = (1,) * (len(shape) - len(self.shape)) + self.shape
        if len(blocks) != len(shape) or any(b < 1 or n % b for n, b in zip(shape, blocks, strict=True)):
            raise ValueError(
                f"blocks of {self.shape} do not tile the shape {shape}; each size must divide its dimension"
            )
        return blocks


@dataclass(frozen=True, slots=True)
class Stacked:
    """The same granularity for each of many cases stacked along a new first dimension: no case sees another."""

    inner: Granularity

    def block_shape(self, shape: Shape) -> Shape:
        if not shape:
            raise ValueError("a tensor without dimensions is no stack of cases")
        return (1, *self.inner.block_shape(shape[1:]))


Granularity = PerTensor | PerAxis | PerToken | PerRow | PerGroup | PerBlock | Stacked


def whole(granularity: Granularity) -> Granularity:
    """One scale for the whole tensor, or for each of the stacked cases."""
    return Stacked(whole(granularity.inner)) if isinstance(granularity, Stacked) else PerTensor()


@dataclass(frozen=True, slots=True)
class Groups:
    """The grouped view of one shape: `split` it, reduce over `reduced`, and `spread` qparams against it."""

    shape: Shape
    view: Shape
    reduced: Shape
    qparam_shape: Shape
    spread_shape: Shape

    def split(self, x: torch.Tensor) -> torch.Tensor:
        """x of `shape`, each divided dimension n_i as (n_i / b_i, b_i)."""
        return x.reshape(self.view)

    def spread(self, qparam: torch.Tensor) -> torch.Tensor:
        """A qparam of `qparam_shape`, viewed so that it broadcasts against `split(x)`."""
        return qparam.reshape(self.spread_shape)

    def join(self, x: torch.Tensor) -> torch.Tensor:
        """The inverse of `split`."""
        return x.reshape(self.shape)


def groups_of(granularity: Granularity, shape: Shape) -> Groups:
    """The grouped view that a granularity means for a shape; raises what `block_shape` raises."""
    # A traced shape may hold symbols, which no cache can keep apart.
    symbols = torch.compiler.is_compiling() or any(type(n) is not int for n in shape)
    return _groups(granularity, shape) if symbols else _kept_groups(granularity, shape)


def _groups(granularity: Granularity, shape: Shape) -> Groups:
    if 0 in shape:
        raise ValueError(f"the shape {shape} holds no elements, so there is no range to choose a scale from")
    blocks = granularity.block_shape(shape)
    view: list[int] = []
    reduced: list[int] = []
    for n, b in zip(shape, blocks, strict=True):
        if b == 1:
            view.append(n)
        elif b == n:
            reduced.append(len(view))
            view.append(n)
        else:
            reduced.append(len(view) + 1)
            view.extend((n // b, b))
    return Groups(
        shape=shape,
        view=tuple(view),
        reduced=tuple(reduced),
        qparam_shape=tuple(n // b for n, b in zip(shape, blocks, strict=True)),
        spread_shape=tuple(1 if i in reduced else n for i, n in enumerate(view)),
    )


_kept_groups = lru_cache(maxsize=4096)(_groups)
