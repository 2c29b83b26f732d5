"""Proximal maps: where a weight moves between the two levels beside it, from nowhere at first to one of them at last.

A map takes p as the optimizer left it, its hard quantization q (None between updates of the levels) and the levels, and
gives the new weight. Values are computed in float32 and rounded once to p's dtype D, unless a map says otherwise.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Protocol

import torch
from torch import Tensor

from kernels.divide import divide
from kernels.fma import fma
from kernels.narrow import narrow
from quant.granularity import Groups
from quant.parq.levels import Levels
from quant.parq.schedule import Schedule


class ProximalMap(Protocol):
    """p and q: grouped views of a weight in its dtype. levels: qparam-shaped. Returns p's shape and dtype."""

    def __call__(self, p: Tensor, q: Tensor | None, levels: Levels, groups: Groups, step: int) -> Tensor: ...


@dataclass(frozen=True, slots=True)
class HardQuantization:
    """p becomes q: straight-through training, the weights always on the grid."""

    def __call__(self, p: Tensor, q: Tensor | None, levels: Levels, groups: Groups, step: int) -> Tensor:
        return nearest(p, levels, groups) if q is None else q


@dataclass(frozen=True, slots=True, kw_only=True)
class PiecewiseAffine:
    """clamp(c + (p - c) / slope, a, b) between neighbouring levels a and b with centre c, as slope goes from 1 to 0."""

    schedule: Schedule
    steepness: float = 10.0
    center: float = 0.5

    def __post_init__(self) -> None:
        if self.steepness <= 0:
            raise ValueError(f"steepness is {self.steepness}; the slope falls only where it is positive")

    def __call__(self, p: Tensor, q: Tensor | None, levels: Levels, groups: Groups, step: int) -> Tensor:
        slope = self.schedule.sigmoid(step, self.steepness, self.center)
        if slope == 0.0:
            return nearest(p, levels, groups) if q is None else q
        if step < self.schedule.start:
            return p
        slope = max(torch.finfo(p.dtype).smallest_normal, slope)
        below, above = neighbours(p, levels, groups)
        middle = divide(below + above, 2.0)
        moved = middle + divide(p.float() - middle, slope)
        return narrow(torch.minimum(torch.maximum(moved, below), above), p.dtype)


@dataclass(frozen=True, slots=True, kw_only=True)
class BinaryRelax:
    """R_D(R_D(p * w) + q * (1 - w)), the second a fused multiply-add, as the weight w of p falls from 1 to 0 in a line.

    1 - w is rounded to D beside a hard quantization of dtype D, and to float32 between updates, as torch's own
    `add(q, alpha=1 - w)` takes it.

    Yin et al., "BinaryRelax: a relaxation approach for training deep neural networks with quantized weights", 2018.
    """

    schedule: Schedule

    def __call__(self, p: Tensor, q: Tensor | None, levels: Levels, groups: Groups, step: int) -> Tensor:
        if step < self.schedule.start:
            return p
        alpha_dtype = torch.float32 if q is None else q.dtype
        q = nearest(p, levels, groups) if q is None else q
        if step >= self.schedule.end:
            return q
        pulled = self.schedule.progress(step)
        kept = narrow(p.float() * (1 - pulled), p.dtype).float()
        share = narrow(torch.full((), pulled, dtype=torch.float32, device=p.device), alpha_dtype).float()
        return narrow(fma(q.float(), share, kept), p.dtype)


def nearest(p: Tensor, levels: Levels, groups: Groups) -> Tensor:
    """The level nearest to p, the lower one where p lies half-way, in p's dtype."""
    spread = [groups.spread(level).float() for level in levels]
    found = spread[0].expand(p.shape)
    for below, level in pairwise(spread):
        found = torch.where(p.float() > divide(below + level, 2.0), level, found)
    return narrow(found, p.dtype)


def neighbours(p: Tensor, levels: Levels, groups: Groups) -> tuple[Tensor, Tensor]:
    """The greatest level below p and the least that is not, both the end of the grid where p lies outside; float32."""
    spread, wide = [groups.spread(level).float() for level in levels], p.float()
    below, above = spread[0].expand(p.shape), spread[-1].expand(p.shape)
    for level in spread[1:]:
        below = torch.where(wide > level, level, below)
    for level in reversed(spread[:-1]):
        above = torch.where(wide <= level, level, above)
    return below, above
