"""distances(a, b, line) = |positions(a) - positions(b)|: the representable steps between numbers, by their stored bits.

Only integers are looked at, never the values that they stand for: no flush-to-zero setting can make two of them equal.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

INCOMPARABLE = -1
"""The distance of a NaN to anything that is not the same element."""

SATURATED = 2**63 - 1
"""The distance of numbers 2^63 - 1 or more steps apart, which only 64-bit dtypes have."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BitLine:
    """How the bits of a dtype lie on the line of its numbers, and which of them are one element.

    A float is a sign above a magnitude that grows with the number; `largest` is the greatest magnitude that is no NaN.
    It is None for an integer dtype, of which `signed` tells the two kinds apart.
    """

    width: int
    largest: int | None = None
    signed: bool = True
    zeros_apart: bool = True  # -0 is one step below +0
    nans_alike: bool = True  # each NaN is the same element; otherwise those of the same bits are

    @property
    def magnitudes(self) -> int:
        """The mask of a float's magnitude."""
        return (1 << (self.width - 1)) - 1


def is_nan(raw: Tensor, line: BitLine) -> Tensor:
    """bool, shape of `raw`, the stored bits as signed integers of their width. False for integer dtypes."""
    if line.largest is None:
        return torch.zeros_like(raw, dtype=torch.bool)
    return (raw & line.magnitudes) > line.largest


def positions(raw: Tensor, line: BitLine) -> Tensor:
    """int64: neighbouring numbers are 1 apart. What a NaN's position is means nothing.

    Floats: the magnitude m of a positive, and of a negative -1 - m where zeros are apart, else -m. Infinity is one step
    past the largest finite number. Integers: the number itself; of unsigned 64 bits less 2^63, so that it fits.
    """
    wide = raw.to(torch.int64)
    if line.largest is not None:
        magnitude = wide & line.magnitudes
        return torch.where(wide < 0, -int(line.zeros_apart) - magnitude, magnitude)
    if line.signed:
        return wide
    return wide ^ -(2**63) if line.width == 64 else wide & (1 << line.width) - 1


def gap(i: Tensor, j: Tensor) -> Tensor:
    """min(|i - j|, SATURATED) of int64 tensors. The subtraction wraps below zero exactly when the gap exceeds int64."""
    steps = torch.maximum(i, j) - torch.minimum(i, j)
    return steps.masked_fill(steps < 0, SATURATED)


def distances(a: Tensor, b: Tensor, line: BitLine) -> Tensor:
    """int64: 0 exactly where two elements are the same, INCOMPARABLE where one side is a NaN and they are not."""
    steps = gap(positions(a, line), positions(b, line))
    if line.largest is None:
        return steps
    nan_a, nan_b = is_nan(a, line), is_nan(b, line)
    same = nan_a & nan_b if line.nans_alike else a == b
    return torch.where(nan_a | nan_b, torch.where(same, 0, INCOMPARABLE), steps)
