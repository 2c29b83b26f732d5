"""A lane against what its rules declare, at the ends of the runs in which the lane's result stays the same."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from parity.bits import bits, storage
from parity.proving.block import Block
from parity.proving.claim import Claim
from parity.proving.counter import Tally
from parity.proving.every import EveryCounter
from quant import decisions as d


@dataclass(frozen=True, slots=True, kw_only=True)
class Ends:
    """Chosen elements of blocks, a row each, and what the lane made of them; both ends of each run."""

    slices: Tensor
    block: Block
    found: Tensor


@dataclass(frozen=True, kw_only=True, eq=False)
class RunsCounter:
    """codes and values of one scale and zero point, asked at both ends of every run of inputs with one result.

    The inputs ascend, and the inputs that get one declared result are an interval of them; so where both ends of a run
    get it, so does all the run, and the lane, which was run on every input, has one result all along it. Why intervals:

    1. Codes never fall as x rises: the cast to C, x / s or x times a finite reciprocal (x - o first, in the FLOAT
       domain), each rounding to integers, the addition of z and the clamp never do.
    2. Where the reciprocal is infinite, x below zero (or o) gets qmin and x above it qmax; zero (or o) itself, where
       the product is NaN, gets the code of a NaN: three intervals, of which the outer two differ.
    3. Values never fall as codes rise, except that those made of an infinite z and a product of the other sign are NaN,
       at one end of the grid.
    """

    every: EveryCounter
    grain: int = 64
    method: str = (
        "the lane was run on every operand, the oracle asked at both ends of every run of inputs with one result "
        "(inputs with one declared result are an interval), and all bits compared"
    )

    @classmethod
    def of(cls, claim: Claim, every: EveryCounter) -> RunsCounter:
        """Raises ValueError for rules under which a code may fall as its input rises."""
        rules = claim.a.rules
        if rules.code_clamp is not d.CodeClamp.AFTER_ROUND:
            raise ValueError(
                f"code_clamp is {rules.code_clamp}: codes beyond the grid may wrap, so that a code falls as its input "
                "rises, and runs prove nothing; use code_clamp after_round, or hold it against another rule set"
            )
        return cls(every=every)

    @property
    def device(self) -> str:
        return self.every.device

    def count(self, part: range) -> Tally:
        pairs, ends = 0, []
        for block in self.every.space.blocks(part):
            pairs += block.pairs
            ends.append(_ends(block, self.every.lane(block)[0]))
        refuted = self._refuted(_joined(ends))
        in_full = (block for i in refuted for block in self.every.space.blocks(range(i, i + 1)))
        return Tally.of(pairs, (found for block in in_full for found in self.every.of_block(block)))

    def _refuted(self, ends: Ends) -> list[int]:
        """Slices with an end that the oracle sees otherwise."""
        (wanted,) = self.every.declared(ends.block)
        wrong = bits(wanted) != bits(ends.found)
        return sorted({*ends.slices[wrong[:, 0]].tolist()})


def _ends(block: Block, found: Tensor) -> Ends:
    """The first and the last element of every run of a block."""
    raw = storage(found)
    starts = torch.ones(raw.shape, dtype=torch.bool, device=raw.device)
    torch.ne(raw[:, 1:], raw[:, :-1], out=starts[:, 1:])
    row, first = starts.nonzero().unbind(1)
    last = torch.cat([first[1:] - 1, first.new_full((1,), raw.shape[1] - 1)])
    last = torch.where(last < 0, raw.shape[1] - 1, last)  # the next run is the next row's
    rows, columns = row.repeat_interleave(2), torch.stack([first, last], 1).flatten()
    assert block.scale is not None
    return Ends(
        slices=(rows + block.first).cpu(),
        block=Block(
            first=0,
            slices=len(rows),
            values=block.values[rows, columns].unsqueeze(1),
            scale=block.scale[rows],
            zero_point=None if block.zero_point is None else block.zero_point[rows],
        ).on_cpu(),
        found=found[rows, columns].unsqueeze(1).cpu(),
    )


def _joined(ends: list[Ends]) -> Ends:
    """The same in one, so that the oracle is asked once."""
    blocks = [each.block for each in ends]
    scale = torch.cat([block.scale for block in blocks if block.scale is not None])
    zero_points = [block.zero_point for block in blocks if block.zero_point is not None]
    return Ends(
        slices=torch.cat([each.slices for each in ends]),
        block=Block(
            first=0,
            slices=len(scale),
            values=torch.cat([block.values for block in blocks]),
            scale=scale,
            zero_point=torch.cat(zero_points) if zero_points else None,
        ),
        found=torch.cat([each.found for each in ends]),
    )
