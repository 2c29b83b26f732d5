"""How far bits moved, in numbers for triage: the share of moved elements, the largest ulp distance, SQNR in dB."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """One lane's stage on one cell at two revisions; max_ulp, sqnr_db None where they cannot be measured."""

    cell: str
    lane: str
    stage: str
    n_different: int
    n_total: int
    max_ulp: int | None
    sqnr_db: float | None

    @property
    def told(self) -> str:
        """`12 of 2,048 elements (0.6 %), at most 1 ulp, SQNR 51.2 dB`."""
        share = 100 * self.n_different / self.n_total if self.n_total else 0.0
        parts = [f"{self.n_different:,} of {self.n_total:,} elements ({share:.2g} %)"]
        if self.max_ulp is not None:
            whole = self.stage.endswith((".codes", ".zero_point"))
            parts.append(f"at most {self.max_ulp:,} {'ulp' if not whole else 'step' if self.max_ulp == 1 else 'steps'}")
        if self.sqnr_db is not None:
            parts.append(f"SQNR {self.sqnr_db:.1f} dB")
        return ", ".join(parts)

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return {**asdict(self), "told": self.told}
