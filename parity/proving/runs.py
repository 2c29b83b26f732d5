"""A lane against what its rules declare, at the ends of the runs in which the lane's result stays the same."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from parity.bits import bits, storage
from parity.proving.claim import Claim, Step
from parity.proving.counter import Tally
from parity.proving.every import EveryCounter
from parity.proving.operands import infinite_reciprocals, positive_scales
from parity.proving.space import Block
from quant import Rules, ZeroPointDomain
from quant import decisions as d


@dataclass(frozen=True, slots=True, kw_only=True)
class Ends:
    """Chosen elements of blocks, a row each, and what the lane made of them; rows 2 i and 2 i + 1 end one run."""

    slices: Tensor
    block: Block
    found: Tensor


@dataclass(frozen=True, kw_only=True, eq=False)
class RunsCounter:
    """codes and values of one scale and zero point, asked at the ends of runs of equal results.

    The inputs ascend. What is declared is a chain of steps that never fall as x rises: the cast to C, x / s or x times
    a reciprocal that is not negative (or x - o first), any of the roundings to integers, the addition of z, the clamp.
    So where the declared codes at both ends of a run are equal, they are equal all along it, and so are the values made
    of them; and the lane, which was run on every input, has one result all along it. Both zeros are runs of their own,
    because zero times an infinite reciprocal is NaN. A run whose declared codes differ at its ends, though the values
    are equal, proves nothing: its slice is asked about in full. So are, in the FLOAT domain, slices whose reciprocal is
    infinite, where x = o gives NaN.
    """

    every: EveryCounter
    in_full: frozenset[int]
    grain: int = 64
    method: str = (
        "the lane was run on every operand, the oracle asked at both ends of every run of inputs with one result "
        "(what is declared never falls as the input rises), and all bits compared"
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
        return cls(every=every, in_full=_infinite_reciprocals(claim, rules))

    @property
    def device(self) -> str:
        return self.every.device

    def count(self, part: range) -> Tally:
        pairs, suspects = 0, {*part} & self.in_full
        ends = []
        for block in self.every.space.blocks(part):
            pairs += block.pairs
            ends.append(_ends(block, self.every.ran(block)[0]))
        suspects |= self._refuted(_joined(ends))
        in_full = (block for i in sorted(suspects) for block in self.every.space.blocks(range(i, i + 1)))
        return Tally.of(pairs, (found for block in in_full for found in self.every.of_block(block)))

    def _refuted(self, ends: Ends) -> set[int]:
        """Slices with a run whose ends the oracle sees otherwise, or tells apart."""
        declared = self.every.declared
        (wanted,) = declared(ends.block)
        wrong = bits(wanted) != bits(ends.found)
        if declared.step is Step.FAKE_QUANTIZE:
            codes = bits(declared.codes(ends.block))
            wrong[1::2] |= codes[1::2] != codes[::2]
        return {*ends.slices[wrong[:, 0]].tolist()}


def _ends(block: Block, found: Tensor) -> Ends:
    """The first and the last element of every run of a block, and each zero by itself."""
    block = block.on_cpu()
    raw = storage(found)
    starts = torch.ones(raw.shape, dtype=torch.bool)
    torch.ne(raw[:, 1:], raw[:, :-1], out=starts[:, 1:])
    zero = raw.shape[1] // 2  # +0.0; -0.0 stands before it
    starts[:, zero - 1 : zero + 2] = True
    row, first = starts.nonzero().unbind(1)
    last = torch.cat([first[1:] - 1, first.new_full((1,), raw.shape[1] - 1)])
    last = torch.where(last < 0, raw.shape[1] - 1, last)  # the next run is the next row's
    rows, columns = row.repeat_interleave(2), torch.stack([first, last], 1).flatten()
    assert block.scale is not None
    return Ends(
        slices=rows + block.first,
        block=Block(
            first=0,
            slices=len(rows),
            values=block.values[rows, columns].unsqueeze(1),
            scale=block.scale[rows],
            zero_point=None if block.zero_point is None else block.zero_point[rows],
        ),
        found=found[rows, columns].unsqueeze(1),
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


def _infinite_reciprocals(claim: Claim, rules: Rules) -> frozenset[int]:
    """Slices of the FLOAT domain with an infinite reciprocal, where the rules take one."""
    multiplies = rules.float_code_division is d.FloatCodeDivision.RECIPROCAL_MULTIPLY
    if claim.domain is not ZeroPointDomain.FLOAT or not multiplies:
        return frozenset()
    scales = positive_scales(claim.scale_dtype)
    infinite = infinite_reciprocals(scales, claim.scale_dtype) | infinite_reciprocals(scales, torch.float32)
    return frozenset(infinite.nonzero().flatten().tolist())
