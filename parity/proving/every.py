"""A lane against what its rules declare, the oracle being asked about every operand the lane is run on."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from parity.proving.counter import Tally, by_slice
from parity.proving.declaration import Declaration
from parity.proving.lane import Lane, unlike
from parity.proving.space import Block, Space


@dataclass(frozen=True, kw_only=True, eq=False)
class EveryCounter:
    """Both are asked about every operand."""

    space: Space
    lane: Lane
    declared: Declaration
    device: str = "cpu"
    grain: int = 512
    method: str = "the lane was run and the oracle asked on every operand, and all bits compared"

    def count(self, part: range) -> Tally:
        pairs, differing = 0, []
        for block in self.space.blocks(part):
            pairs += block.pairs
            differing += self.of_block(block)
        return Tally(pairs=pairs, differing=tuple(differing))

    def of_block(self, block: Block) -> list[tuple[int, int]]:
        """(slice, count) of what differs in one block."""
        mask = unlike(self.ran(block), self.declared(block))
        return [] if mask is None else by_slice(block, mask)

    def ran(self, block: Block) -> tuple[Tensor, ...]:
        """What the lane returns, where the oracle's answers are."""
        return tuple(result.cpu() for result in self.lane(block))
