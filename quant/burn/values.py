"""The integer value types of Burn: their bits, and the grid each of them has."""

from __future__ import annotations

from enum import StrEnum


class Value(StrEnum):
    """Full-range types end at -2**(bits-1), symmetric ones one later: Q8F is [-128, 127], Q8S [-127, 127]."""

    Q8F = "q8f"
    Q4F = "q4f"
    Q2F = "q2f"
    Q8S = "q8s"
    Q4S = "q4s"
    Q2S = "q2s"

    @property
    def bits(self) -> int:
        """Bits of a stored value."""
        return int(self[1])

    @property
    def is_symmetric(self) -> bool:
        """Whether every value has its negative, so that a largest magnitude is met on both sides."""
        return self[2] == "s"

    @property
    def grid(self) -> tuple[int, int]:
        """(qmin, qmax)."""
        qmax = int(2 ** (self.bits - 1)) - 1
        return -qmax - (not self.is_symmetric), qmax


def value_of(bits: int, qmin: float, qmax: float) -> Value:
    """The value type with this grid. Raises ValueError where Burn has none."""
    for value in Value:
        if (value.bits, *value.grid) == (bits, qmin, qmax):
            return value
    grids = ", ".join(f"{value} [{value.grid[0]}, {value.grid[1]}]" for value in Value)
    raise ValueError(f"the grid runs from {qmin} to {qmax} in {bits} bits; Burn's integer values are {grids}")
