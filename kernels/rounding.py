"""Rounding to integers, one function a rule: a float tensor in, the same dtype out, each addition rounded once.

The rules part at ties, and the two that add a half part again where that addition rounds: 0.49999997 + 0.5 is 1.0.
"""

import torch
from torch import Tensor

from kernels.narrow import narrow


def half_even(t: Tensor) -> Tensor:
    """half_even(t) = the nearest integer, the even one at a tie (torch.round, IEEE roundTiesToEven)."""
    return torch.round(t)


def half_away(t: Tensor) -> Tensor:
    """half_away(t) = the nearest integer, the one farther from zero at a tie (C's round, IEEE roundTiesToAway)."""
    whole = torch.trunc(t)
    fraction = (t - whole).abs()  # exact; NaN for an infinity, which is whole already
    return torch.where(fraction >= 0.5, whole + torch.sign(t), whole)


def half_away_by_adding(t: Tensor) -> Tensor:
    """half_away_by_adding(t) = trunc(R(t + copysign(0.5, t)))."""
    return torch.trunc(_add(t, torch.full_like(t, 0.5).copysign(t)))


def half_up(t: Tensor) -> Tensor:
    """half_up(t) = floor(R(t + 0.5))."""
    return torch.floor(_add(t, torch.full_like(t, 0.5)))


def truncate(t: Tensor) -> Tensor:
    """truncate(t) = the integer part of t, the sign of a zero kept."""
    return torch.trunc(t)


def _add(t: Tensor, half: Tensor) -> Tensor:
    """R_d(t + half), also where a compiler would fuse it with a product before it or keep a 16-bit sum unrounded.

    The detour through float64 changes no bit: 53 is at least twice the significand of any narrower dtype plus two.
    """
    if torch.compiler.is_compiling() and t.dtype is not torch.float64:
        return narrow(t.to(torch.float64) + half.to(torch.float64), t.dtype)
    return t + half
