"""An Aim = where the ties of one operand of one cell were laid, as plain numbers that a run keeps."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Aim:
    """scale, zero_point = one entry for each group, NaN where no tie was laid or the domain has no zero point.

    eps = that of each scheme the operand was aimed at, in their order; operand = "weight" or "input".
    """

    cell: str
    operand: str
    eps: tuple[float, ...]
    scale: tuple[float, ...]
    zero_point: tuple[float, ...]
