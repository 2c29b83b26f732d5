"""How far the pull towards the grid has come at a step, as a share done or as a slope that is left."""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """The steps between which a pull sets in and is complete. Raises ValueError unless start lies before end."""

    start: int
    end: int

    def __post_init__(self) -> None:
        if not 0 <= self.start < self.end:
            raise ValueError(f"start is {self.start} and end is {self.end}; a schedule needs 0 <= start < end")

    def progress(self, step: int) -> float:
        """0 until `start`, 1 from `end` on, and a straight line between."""
        return min(1.0, max(0.0, (step - self.start) / (self.end - self.start)))

    def sigmoid(self, step: int, steepness: float, center: float) -> float:
        """1 until `start`, 0 from `end` on, and between them 1 / (1 + exp(steepness * (t - center))), moved and scaled
        to leave 1 at t = 0 and, for a center of 1/2, to reach 0 at t = 1.
        """
        t = self.progress(step)
        if t in (0.0, 1.0):
            return 1.0 - t
        first, last = (1 / (1 + math.exp(sign * 0.5 * steepness)) for sign in (-1, 1))
        return (1 / (1 + math.exp(steepness * (t - center))) - last) / (first - last)
