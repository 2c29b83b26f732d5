"""Few rows that together show every combination of any t axis values: covering arrays, by greedy choice.

Each row starts at a combination that no row has shown yet, is completed to a legal one at random, and is then changed
an axis at a time to whatever shows the most new combinations. A combination counts if some legal cell contains it,
which parity.constraints decides exactly; so the loop ends, with nothing left out.

`python -m parity.covering` rewrites the arrays that are committed beside this module.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations
from random import Random
from typing import Final

import numpy as np

from parity.arrays import ARRAYS
from parity.axes import AXES, BURN_PRESETS, LAYER_PRESETS, LAYERS, OPERATIONS, PRESET, SCALES
from parity.cells import cell_at, illegal_reason
from parity.constraints import Codes, Mask, Space, Values, legal_space, meets
from parity.forbidden import FORBIDDEN
from parity.product import REST

SWEEPS: Final = 2

# Axes of quantized tensors and of their products have a space of their own, and are at their defaults in every other.
OF_TENSORS: Final = ("accumulate", "propagation")
# A case is another seed, and further devices are listed as unrun: two of each are enough.
EVERYWHERE: Final[Values] = {axis.name: axis.values for axis in AXES.values() if axis.name not in OF_TENSORS} | {
    "preset": LAYER_PRESETS,
    "op": LAYERS,
    "scale": (PRESET, *SCALES),
    "act": tuple(value for value in AXES["act"].values if value != "tensor"),
    "case": ("0", "1"),
    "device": ("cpu", "cuda"),
    "grad": ("no",),
    "packing": ("none",),  # a layout moves no bit of any other stage: it has cells of its own
}
ON_CPU: Final[Values] = {**EVERYWHERE, "device": ("cpu",)}
# Gradients are compared on cells of their own: a backward pass takes as long as all else that a lane does.
WITH_GRADIENTS: Final[Values] = {**EVERYWHERE, "grad": ("yes",)}
TENSORS: Final[Values] = {
    "preset": (*BURN_PRESETS, "intx_weight_only"),
    "op": ("linear", *OPERATIONS),
    "bits": ("preset", "2", "4"),
    "scale": ("preset", "model", "fp32", "bf16", "fp16"),
} | {axis: AXES[axis].values for axis in ("dtype", "group", "shape", "layout", "family", *OF_TENSORS)}
GRADIENT_STRENGTH: Final = 2
TENSOR_STRENGTH: Final = 2
PREMERGE_STRENGTH: Final = 3
ILLEGAL_STRENGTH: Final = 2
ALONE_STRENGTH: Final = 1
REST_STRENGTH: Final = 4


@dataclass(frozen=True)
class _Combinations:
    """Every combination of values on every t axes has a number: offset of its axes + sum of code x stride."""

    space: Space
    strength: int

    @cached_property
    def axes(self) -> Codes:
        """[combinations of axes, t]: places of axes."""
        return np.array([*combinations(range(len(self.space.names)), self.strength)])

    @cached_property
    def sizes(self) -> Codes:
        return np.array([len(values) for values in self.space.values.values()])[self.axes]

    @cached_property
    def strides(self) -> Codes:
        """[axes, combinations of axes], 0 where an axis has no part."""
        ends = np.cumprod(self.sizes[:, ::-1], axis=1)[:, ::-1]
        within = np.hstack([ends[:, 1:], np.ones((len(ends), 1), dtype=np.int64)])
        strides = np.zeros((len(self.space.names), len(ends)), dtype=np.int64)
        np.put_along_axis(strides, self.axes.T, within.T, axis=0)
        return strides

    @cached_property
    def offsets(self) -> Codes:
        """[combinations of axes + 1]: where the numbers of each begin, and how many there are."""
        return np.concatenate([[0], np.cumsum(self.sizes.prod(axis=1))])

    @cached_property
    def of_axis(self) -> list[Codes]:
        """For each axis, the combinations of axes that it has a part in."""
        return [np.flatnonzero((self.axes == axis).any(axis=1)) for axis in range(len(self.space.names))]

    def numbers(self, rows: Codes) -> Codes:
        """[n, combinations of axes]: the numbers that each row shows."""
        return rows @ self.strides + self.offsets[:-1]

    def possible(self) -> Mask:
        """For each number, whether a legal cell shows it."""
        names = self.space.names
        return np.concatenate([self.space.possible([names[i] for i in axes]).ravel() for axes in self.axes])

    def codes(self, number: int) -> dict[int, int]:
        """Place of axis -> code, for the combination of that number."""
        at = int(np.searchsorted(self.offsets, number, side="right")) - 1
        codes = np.unravel_index(number - self.offsets[at], self.sizes[at])
        return {int(axis): int(code) for axis, code in zip(self.axes[at], codes, strict=True)}


def covering_array(space: Space, strength: int, seed: int = 0) -> list[dict[str, str]]:
    """Legal rows that show every possible combination of `strength` values; the same rows for the same arguments."""
    random, all_of = Random(seed), _Combinations(space, strength)
    missing = all_of.possible()
    rows = []
    while len(left := np.flatnonzero(missing)):
        row = _climbed(_completed(all_of.codes(int(random.choice(left))), space, random), missing, all_of, random)
        missing[all_of.numbers(row[None])[0]] = False
        rows.append({axis: values[row[i]] for i, (axis, values) in enumerate(space.values.items())})
    return rows


def uncovered(rows: Sequence[Mapping[str, str]], space: Space, strength: int) -> list[dict[str, str]]:
    """The possible combinations of `strength` values that no legal one of the rows shows."""
    all_of = _Combinations(space, strength)
    missing = all_of.possible()
    codes = np.array([space.coded(row) for row in rows], dtype=np.int64).reshape(len(rows), len(space.names))
    missing[all_of.numbers(codes[space.legal(codes)])] = False
    return [
        {space.names[axis]: space.values[space.names[axis]][code] for axis, code in all_of.codes(int(number)).items()}
        for number in np.flatnonzero(missing)
    ]


def _completed(codes: Mapping[int, int], space: Space, random: Random) -> Codes:
    """A legal row with these codes (axis by axis, each drawn among what the ones before it leave possible)."""
    fixed = {space.names[axis]: code for axis, code in codes.items()}
    for axis in random.sample(space.names, len(space.names)):
        if axis not in fixed:
            fixed[axis] = int(random.choice(np.flatnonzero(space.possible([axis], fixed))))
    return np.array([fixed[axis] for axis in space.names])


def _climbed(row: Codes, missing: Mask, all_of: _Combinations, random: Random) -> Codes:
    """The row with one axis after another moved to the legal value that shows the most missing combinations."""
    row = row.copy()
    numbers = all_of.numbers(row[None])[0]
    sizes = [len(values) for values in all_of.space.values.values()]
    for _ in range(SWEEPS):
        for axis in random.sample(range(len(row)), len(row)):
            at = all_of.of_axis[axis]
            moves = np.arange(sizes[axis]) - row[axis]
            shown = numbers[at] + moves[:, None] * all_of.strides[axis, at]
            gains = missing[shown].sum(axis=1)
            best = np.flatnonzero(gains > gains[row[axis]])
            candidates = np.repeat(row[None], len(best), axis=0)
            candidates[:, axis] = best
            best = best[all_of.space.legal(candidates)] if len(best) else best
            if len(best):
                chosen = best[gains[best].argmax()]
                numbers[at] = shown[chosen]
                row[axis] = chosen
    return row


def arrays() -> Iterator[tuple[str, list[str]]]:
    """Name and lines of each committed array, made anew: ids of cells.

    Illegal cells are those of an array that knows no constraint, where one reason may hide another; so every reason is
    also given cells of its own, with any value of every other axis.
    """
    yield "premerge", _ids(covering_array(legal_space(EVERYWHERE), PREMERGE_STRENGTH))
    anywhere = covering_array(Space(ON_CPU), ILLEGAL_STRENGTH)
    illegal = [row for row in anywhere if illegal_reason(cell_at(row)) is not None]
    alone = [
        row
        for broken in FORBIDDEN
        if meets(broken, ON_CPU)
        for row in covering_array(legal_space(ON_CPU, broken), ALONE_STRENGTH)
    ]
    yield "illegal", _ids([*illegal, *alone])
    yield "gradients", _ids(covering_array(legal_space(WITH_GRADIENTS), GRADIENT_STRENGTH))
    yield "tensors", _ids(covering_array(legal_space(TENSORS), TENSOR_STRENGTH))
    yield "nightly_rest", _ids(covering_array(Space({axis: EVERYWHERE[axis] for axis in REST}), REST_STRENGTH))


def _ids(rows: Sequence[Mapping[str, str]]) -> list[str]:
    return list(dict.fromkeys(cell_at(row).id for row in rows))


def main() -> None:
    """Rewrite the committed arrays."""
    for name, lines in arrays():
        path = ARRAYS / f"{name}.txt"
        path.write_text("".join(f"{line}\n" for line in lines), encoding="ascii")
        print(f"{path}: {len(lines)} cells")


if __name__ == "__main__":
    main()
