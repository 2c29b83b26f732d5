"""explanation = the fewest axes whose values, as they occur among the differing pairs, hold the fewest equal pairs.

static/explanation.js states the same rule for what people point at in the page; a suite holds the two together.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import numpy.typing as npt

from reports.coordinates import AxisColumn
from reports.summary import counted

# More axes than this, or more values of one, are no explanation that a person can use.
MAX_AXES = 4
MAX_VALUES = 4

# Which draw of a family it was: a seed tells pairs apart and explains nothing.
DRAW = "case"


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """where = axis -> the values that occur among `inside` differing pairs; `others` equal pairs have them as well."""

    where: tuple[tuple[str, tuple[str, ...]], ...]
    inside: int
    others: int

    @property
    def sentence(self) -> str:
        """What the differing pairs have in common, as the page says it."""
        if not self.where:
            return "no axis value tells them from equal pairs" if self.others else "every pair compared differs"
        told = " and ".join(f"{axis}:{','.join(values)}" for axis, values in self.where)
        return told if not self.others else f"{told} (so have {counted(self.others, 'equal pair')})"


def explain(axes: Sequence[AxisColumn], differing: npt.NDArray[np.int64], equal: npt.NDArray[np.int64]) -> Explanation:
    """differing, equal = cells of pairs that were compared; the explanation of the first against the second.

    Each axis can exclude the equal pairs whose value occurs in no differing one. An equal pair is thus a set of axes
    that exclude it, and what is sought is a small choice of axes that meets many of these sets. Of choices of one size
    the one that leaves fewest equal pairs is taken, then the one with fewer values, then the first in the order of the
    axes; a longer choice is taken only where it leaves at most half of them. Few sets are unlike, so all are tried.
    """
    masks = np.zeros(len(equal), np.int64)
    values: list[tuple[int, ...]] = []
    for bit, axis in enumerate(axes):
        occurs = np.zeros(len(axis.words), np.bool_)
        occurs[axis.codes[differing]] = True
        values.append(tuple(np.flatnonzero(occurs).tolist()))
        masks |= np.where(occurs[axis.codes[equal]], 0, 1 << bit)
    unlike, counts = np.unique(masks, return_counts=True)
    sets = dict(zip(unlike.tolist(), counts.tolist(), strict=True))
    usable = [bit for bit, axis in enumerate(axes) if axis.name != DRAW and len(values[bit]) <= MAX_VALUES]
    able = [bit for bit in usable if any(mask >> bit & 1 for mask in sets)]

    def others(choice: tuple[int, ...]) -> int:
        chosen = sum(1 << bit for bit in choice)
        return sum(count for mask, count in sets.items() if not mask & chosen)

    best: tuple[int, ...] = ()
    for size in range(1, min(MAX_AXES, len(able)) + 1):
        if others(best) == others(tuple(able)):
            break
        choices = combinations(able, size)
        found = min(choices, key=lambda choice: (others(choice), sum(len(values[bit]) for bit in choice), choice))
        best = found if 2 * others(found) <= others(best) else best
    return Explanation(
        where=tuple((axes[bit].name, tuple(axes[bit].words[code] for code in values[bit])) for bit in best),
        inside=len(differing),
        others=others(best),
    )
