"""Counters that hold a lane against what its rules declare: the lane is run on every operand, the oracle on fewer.

Each class proves in its docstring why those are enough. Where the oracle finds a slice that differs, it is asked about
every operand of that slice, so that counts are exact.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from parity.bits import storage
from parity.proving.block import Block
from parity.proving.claim import Claim, Step
from parity.proving.counter import Counter, Tally, by_slice
from parity.proving.every import EveryCounter
from parity.proving.lane import Lane, unlike
from parity.proving.operands import finite_values
from parity.proving.runs import RunsCounter
from quant import Mapping, ZeroPointDomain
from quant import decisions as d


def oracle_counter(claim: Claim, device: str = "cpu", lane: Lane | None = None) -> Counter:
    """The counter that holds a lane, else that of the claim's first party, against what that party declares.

    Raises ValueError for rules that no lemma covers.
    """
    every = EveryCounter.of(claim, device, lane)
    if claim.step is Step.CHOOSE_QPARAMS:
        if claim.mapping is Mapping.SYMMETRIC and claim.domain is not ZeroPointDomain.FLOAT:
            return MagnitudeCounter.of(claim, every)
        return RunsCounter.of_ranges(claim, every) or every
    if claim.step is Step.DEQUANTIZE:
        return DistanceCounter(every=every, claim=claim) if claim.domain is ZeroPointDomain.INT else every
    return RunsCounter.of_inputs(claim, every)


@dataclass(frozen=True, kw_only=True, eq=False)
class MagnitudeCounter:
    """Symmetric qparams, asked once a magnitude: what is declared reads of (min, max) only a = max(|min|, |max|).

    The range is widened to zero, so its size is max(-min(min, 0), max(max, 0)). That is |max| where max is positive
    and the larger, -min = |min| otherwise, since min <= max; every later step reads that size alone.
    """

    every: EveryCounter
    table: tuple[Tensor, ...]
    grain: int = 512
    method: str = "the lane was run on every pair, the oracle asked for every magnitude, and all bits compared"

    @classmethod
    def of(cls, claim: Claim, every: EveryCounter) -> MagnitudeCounter:
        positive = finite_values(claim.torch_dtype).chunk(2)[1]  # from +0 on, so that a pattern is an index
        pairs = torch.stack([torch.zeros_like(positive), positive])
        asked = every.declared(Block(first=0, slices=1, values=pairs))
        return cls(every=every, table=tuple(stage.flatten() for stage in asked))

    @property
    def device(self) -> str:
        return self.every.device

    def count(self, part: range) -> Tally:
        pairs, differing = 0, []
        for block in self.every.space.blocks(part):
            pairs += block.pairs
            size = (storage(block.values.cpu()) & torch.iinfo(torch.int16).max).amax(0).int()
            mask = unlike(
                self.every.ran(block), tuple(stage.index_select(0, size).unsqueeze(0) for stage in self.table)
            )
            differing += [] if mask is None else by_slice(block, mask)
        return Tally.of(pairs, differing)


@dataclass(frozen=True, kw_only=True, eq=False)
class DistanceCounter:
    """Values of the INT domain, asked once a distance: what is declared reads of (q, z) only q - z.

    Codes and zero points of at most 8 bits differ by at most 256, and every dtype in which the rules may subtract them
    holds each integer up to there, bf16's 8 bits included; so q - z is exact, and the value is that of (q - z, 0).
    """

    every: EveryCounter
    claim: Claim
    grain: int = 2048
    method: str = "the lane was run on every operand, the oracle asked for every distance, and all bits compared"

    @property
    def device(self) -> str:
        return self.every.device

    def count(self, part: range) -> Tally:
        offset = int(self.claim.a.rules.zero_point_offset is d.ZeroPointOffset.MINUS_ONE)
        (qmin, qmax), zero_points = self.claim.grid, self.claim.zero_points
        least = qmin - max(zero_points) - offset
        distances = torch.arange(least, qmax - min(zero_points) - offset + 1, dtype=torch.int16).unsqueeze(0)
        pairs, differing = 0, []
        tables: dict[int, Tensor] = {}
        for block in self.every.space.blocks(part):
            assert block.scale is not None
            assert block.zero_point is not None
            if block.first not in tables:
                in_use_zero = torch.full_like(block.scale, -offset, dtype=torch.int32)
                asked = Block(
                    first=0, slices=1, values=distances, scale=block.scale.cpu(), zero_point=in_use_zero.cpu()
                )
                tables = {block.first: self.every.declared(asked)[0]}
            pairs += block.pairs
            start = qmin - int(block.zero_point[0, 0]) - offset - least
            wanted = tables[block.first][:, start : start + qmax - qmin + 1].contiguous()
            mask = unlike(self.every.ran(block), (wanted,))
            differing += [] if mask is None else by_slice(block, mask)
        return Tally.of(pairs, differing)
