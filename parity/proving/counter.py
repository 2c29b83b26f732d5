"""A counter counts the operands of a range of slices on which two parties differ: the seam for other devices.

A device with a kernel of its own brings a counter that gives the same tallies; sweep and proof stay as they are.
"""

from __future__ import annotations

from collections import Counter as Counts
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol

from torch import Tensor

from parity.proving.block import Block, Space
from parity.proving.claim import Claim
from parity.proving.lane import Lane, lane_of, unlike
from parity.proving.party import Path
from parity.proving.space import space_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Tally:
    """pairs = operands that were run, differing = (slice, how many of its operands differ), for slices where any do."""

    pairs: int = 0
    differing: tuple[tuple[int, int], ...] = ()

    @classmethod
    def of(cls, pairs: int, found: Iterable[tuple[int, int]]) -> Tally:
        """A slice may be found several times, once for each zero point."""
        counts = Counts[int]()
        for i, count in found:
            counts[i] += count
        return cls(pairs=pairs, differing=tuple(sorted(counts.items())))

    @property
    def n_different(self) -> int:
        return sum(count for _, count in self.differing)

    def __add__(self, other: Tally) -> Tally:
        return Tally(pairs=self.pairs + other.pairs, differing=self.differing + other.differing)


class Counter(Protocol):
    """Counts for one claim; `count` may be called from several threads at once."""

    @property
    def device(self) -> str: ...
    @property
    def method(self) -> str:
        """How it knows, as a sentence."""
        ...

    @property
    def grain(self) -> int:
        """How many slices it likes to be given at once."""
        ...

    def count(self, part: range) -> Tally: ...


@dataclass(frozen=True, kw_only=True, eq=False)
class LanesCounter:
    """Both lanes are run on every operand, and every bit of what they return is compared."""

    space: Space
    a: Lane
    b: Lane
    device: str = "cpu"
    grain: int = 64
    method: str = "both lanes were run on every operand and all bits compared"

    @classmethod
    def of(cls, claim: Claim, device: str = "cpu") -> LanesCounter:
        """Raises ValueError for a claim about the oracle, which is no lane."""
        if Path.ORACLE in (claim.a.path, claim.b.path):
            raise ValueError("the oracle is no lane; hold a lane against it with OracleCounter")
        return cls(space=space_of(claim, device), a=lane_of(claim, claim.a), b=lane_of(claim, claim.b), device=device)

    def count(self, part: range) -> Tally:
        pairs, differing = 0, []
        for block in self.space.blocks(part):
            pairs += block.pairs
            mask = unlike(self.a(block), self.b(block))
            if mask is not None:
                differing += by_slice(block, mask)
        return Tally.of(pairs, differing)


def by_slice(block: Block, mask: Tensor) -> list[tuple[int, int]]:
    """(slice, count) of every slice of a block in which the mask, one element an operand, holds anywhere."""
    counts = mask.reshape(block.slices, -1).sum(1)
    return [(block.first + i, int(counts[i])) for i in counts.nonzero().flatten().tolist()]
