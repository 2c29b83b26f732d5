"""moves(diff) = whose bits moved, by first stage and lane: how many cells, and how many of them to the output."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from hashlib import blake2b

from parity.record import STAGES
from parity.run_diff import INPUT, OUTCOME, Moved

# In the order of the walk: a case moves before its lanes end, and those before any stage.
ORDER = (INPUT, OUTCOME, *STAGES)


@dataclass(frozen=True, slots=True, kw_only=True)
class Move:
    """One lane that first moved at one stage; outputs = cells whose output moved with it; cells in order of length."""

    stage: str
    lane: str
    cells: tuple[str, ...]
    outputs: int

    @property
    def example(self) -> str:
        """The cell with the shortest id: the fewest axes off their default."""
        return self.cells[0]

    @property
    def digest(self) -> str:
        """16 hex digits of stage, lane and cells: another move of the same lane is not taken for this one."""
        return blake2b("\n".join((self.stage, self.lane, *self.cells)).encode(), digest_size=8).hexdigest()


def moves(moved: Iterable[Moved]) -> tuple[Move, ...]:
    """Grouped by stage and lane, in the order of the stages, then of the lanes."""
    cells: defaultdict[tuple[str, str], list[str]] = defaultdict(list)
    outputs: Counter[tuple[str, str]] = Counter()
    for each in moved:
        key = each.stage, each.lane
        cells[key].append(each.cell)
        outputs[key] += "output" in each.stages
    return tuple(
        Move(
            stage=stage,
            lane=lane,
            cells=tuple(sorted(cells[stage, lane], key=lambda cell: (len(cell), cell))),
            outputs=outputs[stage, lane],
        )
        for stage, lane in sorted(cells, key=lambda key: (ORDER.index(key[0]), key[1]))
    )
