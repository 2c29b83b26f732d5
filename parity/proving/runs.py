"""A lane against what its rules declare, at the ends of the runs in which the lane's results stay the same."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from parity.bits import storage
from parity.proving.block import Block
from parity.proving.claim import Claim
from parity.proving.counter import Tally
from parity.proving.every import EveryCounter
from parity.proving.lane import Results, unlike
from quant import decisions as d
from quant.computed import qparam_dtype_of
from quant.mapping import Mapping, ZeroPointDomain


@dataclass(frozen=True, slots=True, kw_only=True)
class Ends:
    """Chosen operands of blocks, the slices they are of, and what the lane made of them."""

    slices: Tensor
    block: Block
    found: Results


@dataclass(frozen=True, kw_only=True, eq=False)
class RunsCounter:
    """The oracle is asked at both ends of every run of neighbours with one result, and that is enough on a line.

    A line is a sequence of operands on which those with one declared result are neighbours. So where both ends of a run
    get it, so does all the run, and the lane, which was run on every operand, has one result all along it.
    """

    every: EveryCounter
    grain: int
    method: str = (
        "the lane was run on every operand, the oracle asked at both ends of every run of neighbours with one result "
        "(those with one declared result are neighbours), and all bits compared"
    )

    @classmethod
    def of_inputs(cls, claim: Claim, every: EveryCounter) -> RunsCounter:
        """Codes and values at one scale and zero point, the inputs of which ascend: a line.

        1. Codes never fall as x rises: the cast to C, x / s or x times a finite reciprocal (x - o first, in the FLOAT
           domain), each rounding to integers, the addition of z and the clamp never do.
        2. Where the reciprocal is infinite, x below zero (or o) gets qmin and x above it qmax; zero (or o) itself,
           where the product is NaN, gets the code of a NaN: three intervals, of which the outer two differ.
        3. Values never fall as codes rise, except that those made of an infinite z and a product of the other sign are
           NaN, at one end of the grid.

        Raises ValueError for rules under which a code may fall as its input rises.
        """
        rules = claim.a.rules
        if rules.code_clamp is not d.CodeClamp.AFTER_ROUND:
            raise ValueError(
                f"code_clamp is {rules.code_clamp}: codes beyond the grid may wrap, so that a code falls as its input "
                "rises, and runs prove nothing; use code_clamp after_round, or hold it against another rule set"
            )
        return cls(every=every, grain=64)

    @classmethod
    def of_ranges(cls, claim: Claim, every: EveryCounter) -> RunsCounter | None:
        """Scale and zero point of ranges of which one end stays and the other one ascends: a line.

        1. The scale never falls as the range widens: the subtraction, the bounds, the division by a positive number and
           each rounding never do. So one declared scale at both ends of a run is that of all the run.
        2. At one scale the zero point reads nothing else that moves but one end of the range, and never turns as that
           ascends: a quotient or a sum with what stays, roundings, and a clamp.

        None for rules of which this is not so: a scale of zero may be replaced by a greater one, the zero point may
        read another scale than the stored one or be chosen by an error of both ends.
        """
        return cls(every=every, grain=16) if _are_lines(claim) else None

    @property
    def device(self) -> str:
        return self.every.device

    def count(self, part: range) -> Tally:
        pairs, ends = 0, []
        for block in self.every.space.blocks(part):
            pairs += block.pairs
            ends.append(_ends(block, self.every.lane(block)))
        refuted = self._refuted(_joined(ends))
        in_full = (block for i in refuted for block in self.every.space.blocks(range(i, i + 1)))
        return Tally.of(pairs, (found for block in in_full for found in self.every.of_block(block)))

    def _refuted(self, ends: Ends) -> list[int]:
        """Slices with an end that the oracle sees otherwise."""
        wrong = unlike(self.every.declared(ends.block), ends.found)
        return [] if wrong is None else sorted({*ends.slices[wrong.flatten()].tolist()})


def _are_lines(claim: Claim) -> bool:
    """Whether a scale never falls along a line, and a zero point never turns on a part of it with one stored scale."""
    scheme = claim.scheme(claim.a)
    rules = scheme.rules
    if rules.zero_scale is not d.ZeroScale.KEEP and rules.zero_scale_at is d.ZeroScaleAt.STORED:
        return False
    if scheme.mapping is not Mapping.ASYMMETRIC or scheme.zero_point_domain is ZeroPointDomain.NONE:
        return True
    stored_as_computed = (
        qparam_dtype_of(scheme, claim.torch_dtype) is scheme.scale_dtype
        and rules.scale_rounding is d.ScaleRounding.NEAREST_EVEN
        and rules.eps_order is d.EpsOrder.BEFORE_STORAGE
    )
    if rules.zero_point_scale is not d.ZeroPointScale.STORED and not stored_as_computed:
        return False
    by_one_end = (d.ZeroPointRule.FROM_MIN, d.ZeroPointRule.FROM_MAX)
    return scheme.zero_point_domain is ZeroPointDomain.FLOAT or rules.zero_point_rule in by_one_end


def _ends(block: Block, results: Results) -> Ends:
    """The first and the last operand of every run of a block, once each."""
    changes = _changes(results[0])
    for stage in results[1:]:
        changes |= _changes(stage)
    if block.scale is None:
        low, high = block.values.split(1)
        changes |= _changes(low) & _changes(high)  # neighbours that share no end are of two lines
    edge = torch.ones(len(changes), 1, dtype=torch.bool, device=changes.device)
    ends = torch.cat([edge, changes], 1) | torch.cat([changes, edge], 1)
    row, column = torch.unravel_index(_places(ends), ends.shape)
    return Ends(
        slices=block.slices_of(row, column).cpu(),
        block=block.chosen(row, column).on_cpu(),
        found=tuple(stage[row, column].unsqueeze(1 - block.axis).cpu() for stage in results),
    )


def _changes(stage: Tensor) -> Tensor:
    """bool [rows, n - 1]: whether a neighbour to the right is another."""
    raw = storage(stage)
    return (raw[:, 1:] ^ raw[:, :-1]).to(torch.bool)  # of integers a third of the time of !=


def _places(mask: Tensor) -> Tensor:
    """Where a mask holds, as indices of its elements in a row; on the CPU by numpy, which takes a fifth of the time."""
    return mask.flatten().nonzero().flatten() if mask.is_cuda else torch.from_numpy(np.flatnonzero(mask.numpy()))


def _joined(ends: list[Ends]) -> Ends:
    """The same in one, so that the oracle is asked once."""
    block = Block.joined([each.block for each in ends])
    return Ends(
        slices=torch.cat([each.slices for each in ends]),
        block=block,
        found=tuple(torch.cat(stages, block.axis) for stages in zip(*(each.found for each in ends), strict=True)),
    )
