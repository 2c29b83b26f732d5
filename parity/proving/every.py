"""A lane against what its rules declare, the oracle being asked about every operand the lane is run on."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from parity.proving.block import Block, Space
from parity.proving.claim import Claim
from parity.proving.counter import Tally, by_slice
from parity.proving.declaration import Declaration
from parity.proving.lane import Lane, lane_of, unlike
from parity.proving.space import space_of


@dataclass(frozen=True, kw_only=True, eq=False)
class EveryCounter:
    """Both are asked about every operand."""

    space: Space
    lane: Lane
    declared: Declaration
    device: str = "cpu"
    grain: int = 512
    method: str = "the lane was run and the oracle asked on every operand, and all bits compared"

    @classmethod
    def of(cls, claim: Claim, device: str = "cpu", lane: Lane | None = None) -> EveryCounter:
        """A lane, else that of the claim's first party, against what that party declares."""
        chosen = lane_of(claim, claim.a) if lane is None else lane
        return cls(space=space_of(claim, device), lane=chosen, declared=Declaration.of(claim), device=device)

    def count(self, part: range) -> Tally:
        pairs, differing = 0, []
        for block in self.space.blocks(part):
            pairs += block.pairs
            differing += self.of_block(block)
        return Tally.of(pairs, differing)

    def of_block(self, block: Block) -> list[tuple[int, int]]:
        """(slice, count) of what differs in one block."""
        mask = unlike(self.ran(block), self.declared(block))
        return [] if mask is None else by_slice(block, mask)

    def ran(self, block: Block) -> tuple[Tensor, ...]:
        """What the lane returns, where the oracle's answers are."""
        return tuple(result.cpu() for result in self.lane(block))
