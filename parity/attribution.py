"""Which flips of a scheme make another lane's bits: all of them in every case, or no cause is named.

Stage after stage, so that rules that differ in different stages are found one by one: at each stage that what was found
so far leaves different, one flip more is tried, then the differences of whole schemes, shrunk, then pairs, then the
flips that take away the most, one by one.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from parity.candidates import Candidates, moves, remaining, reproduces
from parity.flips import Flip, Flips

# How many equally good sets are carried on, and how many pairs are tried, on one case, where nothing smaller fits.
BEAM: Final = 12
LEADING: Final = 24
PAIRS: Final = 4000
# While the dtype or the shape of a stage is another one, no count of its elements says that a flip is right.
_FORM: Final = ("scheme.scale_dtype", "scheme.granularity")


@dataclass(frozen=True, slots=True, kw_only=True)
class Attribution:
    """sets = the smallest sets of flips that reproduce every stage, all equally good; none where stage is unexplained.

    unexplained is the first stage that nothing reproduces, remaining the elements of it that the best flip leaves
    different.
    """

    sets: tuple[Flips, ...] = ()
    unexplained: str | None = None
    remaining: int = 0


def attribute(candidates: Candidates) -> Attribution:
    """The smallest sets of flips that give lane B's bits at every stage in every case."""
    found: list[Flips] = [()]
    for stage in candidates.stages:
        passing = [flips for flips in found if reproduces(candidates, flips, stage)]
        if not passing:
            passing = _extended(candidates, found, stage)
        if not passing:
            return Attribution(unexplained=stage, remaining=_least(candidates, found[0], stage))
        fewest = min(map(len, passing))
        found = [flips for flips in passing if len(flips) == fewest][:BEAM]
    return Attribution(sets=tuple(found))


def _extended(candidates: Candidates, found: Sequence[Flips], stage: str) -> list[Flips]:
    """The sets in `found` with the fewest flips more that reproduce the stage; declared and named values first."""
    witness = _witness(candidates, found[0], stage)

    def fits(flips: Flips) -> bool:
        return reproduces(candidates, flips, stage, witness) and reproduces(candidates, flips, stage)

    tried = ((*flips, flip) for flips in found for flip in candidates.single(flips, stage) if _is_new(flips, flip))
    singles = _distinct(flips for flips in tried if fits(flips))
    if singles:
        return sorted(singles, key=lambda flips: _rank(candidates, flips))
    joined = (_joined(found[0], joint) for joint in candidates.joint)
    shrunk = _distinct(_shrunk(candidates, flips, stage) for flips in joined if fits(flips))
    named = [flips for flips in shrunk if len(flips) - len(found[0]) <= 2]
    paired = _beside(candidates, named, found[0], stage) if named else _pairs(candidates, found[0], stage, witness)
    pairs = _distinct((*named, *(flips for flips in paired if fits(flips))))
    if pairs or shrunk:
        return sorted(pairs, key=lambda flips: _rank(candidates, flips)) or shrunk
    descended = _descended(candidates, found[0], stage, witness)
    return [_shrunk(candidates, descended, stage)] if fits(descended) else []


def _descended(candidates: Candidates, flips: Flips, stage: str, witness: int) -> Flips:
    """The flips, and one more again and again: the one that leaves the fewest elements of a case different."""
    least = remaining(candidates, flips, stage, witness)
    while least:
        sets = [(*flips, flip) for flip in candidates.single(flips, stage) if _is_new(flips, flip)]
        left = [
            (count, i)
            for i, each in enumerate(sets)
            if (count := remaining(candidates, each, stage, witness)) is not None
        ]
        if not left or min(left)[0] >= least:
            break
        least, best = min(left)
        flips = sets[best]
    return flips


def _pairs(candidates: Candidates, flips: Flips, stage: str, witness: int) -> Iterator[Flips]:
    """Pairs that begin with a flip that leaves few elements different, or with one whose count says nothing alone."""
    before = remaining(candidates, flips, stage, witness)
    left = {
        flip: remaining(candidates, (*flips, flip), stage, witness)
        for flip in candidates.single(flips, stage)
        if _is_new(flips, flip)
    }
    acting = [
        flip
        for flip, count in left.items()
        if count is not None and (count != before or moves(candidates, flips, flip, stage, witness))
    ]
    alone = [flip for flip, count in left.items() if count is None or flip.field in _FORM]
    leading = sorted(acting, key=lambda flip: left[flip] or 0)[:LEADING]
    tried = 0
    for first in (*alone, *leading):
        after = (*flips, first)
        for second in left if first in alone else candidates.single(after, stage):
            if not _is_new(after, second):
                continue
            tried += 1
            if tried > PAIRS:
                return
            yield (*after, second)


def _beside(candidates: Candidates, named: Sequence[Flips], flips: Flips, stage: str) -> Iterator[Flips]:
    """The pairs that share a flip with one that was found by name."""
    for pair in named:
        for after in ((*flips, flip) for flip in pair if flip not in flips):
            if remaining(candidates, after, stage, 0) is None:  # legal with the other alone
                continue
            yield from ((*after, flip) for flip in candidates.single(after, stage) if _is_new(after, flip))


def _shrunk(candidates: Candidates, flips: Flips, stage: str) -> Flips:
    """A subset from which no flip can be left out."""
    for flip in flips:
        fewer = tuple(other for other in flips if other != flip)
        if reproduces(candidates, fewer, stage):
            flips = fewer
    return flips


def needed(candidates: Candidates, flips: Flips, case: int) -> Flips:
    """Those of the flips that one case cannot do without."""
    last = candidates.stages[-1]
    for flip in flips:
        fewer = tuple(other for other in flips if other != flip)
        if reproduces(candidates, fewer, last, case):
            flips = fewer
    return flips


def _least(candidates: Candidates, flips: Flips, stage: str) -> int:
    """The fewest elements of a stage that no flip, or one more, leaves different in all cases."""
    sets = [flips, *((*flips, flip) for flip in candidates.single(flips, stage) if _is_new(flips, flip))]
    return min(count for count in (remaining(candidates, each, stage) for each in sets) if count is not None)


def _witness(candidates: Candidates, flips: Flips, stage: str) -> int:
    """A case that the flips leave different: what does not fit it fits no more."""
    count = len(candidates.wanted[stage])
    return next(case for case in range(count) if not reproduces(candidates, flips, stage, case))


def _is_new(flips: Flips, flip: Flip) -> bool:
    return all(flip.field != other.field for other in flips)


def _joined(flips: Flips, joint: Flips) -> Flips:
    return (*flips, *(flip for flip in joint if _is_new(flips, flip)))


def _distinct(sets: Iterable[Flips]) -> list[Flips]:
    """Each set once, whatever the order of its flips."""
    return list({frozenset(flips): flips for flips in reversed(list(sets))}.values())[::-1]


def _rank(candidates: Candidates, flips: Flips) -> int:
    """How many of the flips no declared scheme and no named set has."""
    known = {flip for joint in candidates.joint for flip in joint}
    return sum(flip not in known for flip in flips)
