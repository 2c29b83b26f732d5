"""A block: operands that are run at once; and what every space of operands can tell of its blocks."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final, Protocol

import torch
from torch import Tensor

from parity.formats import hexadecimal

# Elements a block: few enough that temporaries stay in caches, enough that an operation's own start costs little.
BLOCK: Final = {"cpu": 2**18, "cuda": 2**25}


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Block:
    """`slices` of them from `first` on: inputs or codes as values [rows, n], with scale and zero_point [rows, 1].

    Of pairs, values are [2, n] and there is no scale; zero_point is None in the NONE domain as well.
    """

    first: int
    slices: int
    values: Tensor
    scale: Tensor | None = None
    zero_point: Tensor | None = None

    @property
    def pairs(self) -> int:
        """Operands that the block holds."""
        return self.values.shape[1] if self.scale is None else self.values.numel()

    @property
    def axis(self) -> int:
        """That along which chosen operands lie, in values and in results."""
        return 1 if self.scale is None else 0

    def chosen(self, rows: Tensor, columns: Tensor) -> Block:
        """The operands of a result's elements alone: a row each, of pairs a column each."""
        if self.scale is None:
            return replace(self, values=self.values[:, columns])
        zero_point = None if self.zero_point is None else self.zero_point[rows]
        return replace(
            self, values=self.values[rows, columns].unsqueeze(1), scale=self.scale[rows], zero_point=zero_point
        )

    def slices_of(self, rows: Tensor, columns: Tensor) -> Tensor:
        """The slice of each of a result's elements."""
        inside = rows if self.scale is not None else columns // (self.pairs // self.slices)
        return inside + self.first

    @staticmethod
    def joined(blocks: Sequence[Block]) -> Block:
        """Chosen operands of several blocks in one, whose slices mean nothing."""
        parts = {
            name: torch.cat(held, blocks[0].axis)
            for name in ("values", "scale", "zero_point")
            if (held := [part for block in blocks if (part := getattr(block, name)) is not None])
        }
        return Block(first=0, slices=1, **parts)

    def on_cpu(self) -> Block:
        """The same block in the CPU's memory."""
        parts = {
            name: part.cpu() for name in ("values", "scale", "zero_point") if (part := getattr(self, name)) is not None
        }
        return replace(self, **parts)


class Space(Protocol):
    """Every operand of a claim."""

    @property
    def slices(self) -> int: ...
    @property
    def sentence(self) -> str:
        """What is covered, with its counts."""
        ...

    @property
    def not_covered(self) -> tuple[str, ...]: ...
    def blocks(self, part: range) -> Iterator[Block]:
        """The operands of some slices."""
        ...

    def operands(self, block: Block, index: tuple[int, int]) -> dict[str, str]:
        """Those of one element of a block's result, by name, floats in hexadecimal."""
        ...


def told(value: float) -> str:
    """A float in hexadecimal, an integer as it is."""
    return hexadecimal(value) if isinstance(value, float) else str(value)
