"""changes(before, after) = what became of every divergence between lanes: new, earlier, worse, fixed, better, the same.

A pair of lanes on a cell is followed from run to run; pairs that changed alike are counted together.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

from parity.record import STAGES
from parity.signature import COUNT_CLASSES, NONE, RAISE, ULP_CLASSES, Signature
from parity.store import Run
from parity.verdicts import GREEN, NEW_DIVERGENCES, Verdict


class Kind(StrEnum):
    """What became of a divergence, the gravest first."""

    NEW = "new"
    EARLIER = "moved earlier"
    WORSENED = "worsened"
    FIXED = "fixed"
    IMPROVED = "improved"
    UNCHANGED = "unchanged"


# What a merge must answer for, unless a row of the ledger does.
GRAVE = (Kind.NEW, Kind.EARLIER, Kind.WORSENED)


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """Pairs that changed alike. signature = the candidate's, or that of the baseline where the divergence is fixed.

    before = the baseline's signature, "" where it had none; red = pairs for which no row of the ledger answers; cell =
    the pair with the shortest id; rows = ledger rows that excused such a pair in either run.
    """

    kind: Kind
    signature: str
    before: str
    pairs: int
    red: int
    cell: str
    rows: tuple[str, ...]

    @property
    def parts(self) -> Signature:
        return Signature.parse(self.signature)


class _Seen(NamedTuple):
    """What one run says of one pair; signature "" where the lanes did not diverge."""

    verdict: Verdict
    signature: str
    ledger: str


_DIVERGED = frozenset({*NEW_DIVERGENCES, Verdict.KNOWN})
_EQUAL = (GREEN | {Verdict.FIXED}) - {Verdict.KNOWN, Verdict.UNRUN}


def changes(baseline: Run, candidate: Run) -> tuple[Change, ...]:
    """Of every pair that diverges in one of the runs; the gravest kinds first, then the most frequent."""
    groups: dict[tuple[Kind, str, str], list[tuple[str, _Seen, _Seen | None]]] = {}
    for (cell, _), kind, now, then in _changed(baseline, candidate):
        old = "" if then is None else then.signature
        groups.setdefault((kind, now.signature or old, old), []).append((cell, now, then))
    found = (_change(*group, pairs) for group, pairs in groups.items())
    return tuple(sorted(found, key=lambda change: (tuple(Kind).index(change.kind), -change.pairs, change.signature)))


def kinds_of(baseline: Run, candidate: Run) -> dict[tuple[str, str], Kind]:
    """What became of each pair, by cell and edge, that diverges in one of the runs."""
    return {key: kind for key, kind, _, _ in _changed(baseline, candidate)}


def kind_of(before: str | None, after: str, verdict: Verdict) -> Kind | None:
    """The kind of a pair's change from one signature to another; before None = not in the baseline, "" = equal there.

    None where there is nothing to tell: equal in both, or not seen in the candidate.
    """
    if not after:
        return Kind.FIXED if before and verdict in _EQUAL else None
    if not before:
        return Kind.NEW
    if before == after:
        return Kind.UNCHANGED
    a, b = Signature.parse(before), Signature.parse(after)
    earlier, later = _place(b) < _place(a), _place(b) > _place(a)
    if earlier or later:
        return Kind.EARLIER if earlier else Kind.IMPROVED
    sizes = _size(a), _size(b)
    if any(after_size > before_size for before_size, after_size in zip(*sizes, strict=True)):
        return Kind.WORSENED
    return Kind.UNCHANGED if sizes[0] == sizes[1] else Kind.IMPROVED


def _place(signature: Signature) -> int:
    """Raising comes before every stage."""
    return -1 if signature.first_stage == RAISE else STAGES.index(signature.first_stage)


def _size(signature: Signature) -> tuple[int, int]:
    """The classes' places, each from the smallest to the largest; -1 where there is none to measure."""
    ulp, count = signature.ulp_class, signature.count_class
    return (
        -1 if ulp == NONE else ULP_CLASSES.index(ulp),
        -1 if count == NONE else COUNT_CLASSES.index(count),
    )


def _changed(baseline: Run, candidate: Run) -> Iterator[tuple[tuple[str, str], Kind, _Seen, _Seen | None]]:
    before, after = _seen(baseline), _seen(candidate)
    for key, now in after.items():
        then = before.get(key)
        kind = kind_of(then and then.signature, now.signature, now.verdict)
        if kind is not None:
            yield key, kind, now, then


def _seen(run: Run) -> dict[tuple[str, str], _Seen]:
    return {(cell, edge): seen for cell, edge, seen in _pairs(run)}


def _pairs(run: Run) -> Iterator[tuple[str, str, _Seen]]:
    verdicts = {verdict.value: verdict for verdict in Verdict}
    columns = (run.edges.column(name) for name in ("cell", "edge", "verdict", "signature", "ledger", "first_stage"))
    for cell, edge, verdict, signature, ledger, stage in zip(*columns, strict=True):
        given = verdicts[verdict]
        if given is Verdict.NONDETERMINISTIC:
            signature = _unsteady(edge, stage)
        yield cell, edge, _Seen(given, signature if given in _DIVERGED else "", ledger)


def _unsteady(edge: str, stage: str | None) -> str:
    """A pair that is not the same twice has no signature of its own, and must not pass for an equal one."""
    cause = Verdict.NONDETERMINISTIC.value
    return str(Signature(edge=edge, first_stage=stage or RAISE, cause=cause, ulp_class=NONE, count_class=NONE))


def _change(kind: Kind, signature: str, before: str, pairs: list[tuple[str, _Seen, _Seen | None]]) -> Change:
    rows = Counter(seen.ledger for _, now, then in pairs for seen in (now, then) if seen is not None and seen.ledger)
    return Change(
        kind=kind,
        signature=signature,
        before=before,
        pairs=len(pairs),
        red=sum(now.verdict in NEW_DIVERGENCES for _, now, _ in pairs) if kind in GRAVE else 0,
        cell=min((cell for cell, _, _ in pairs), key=lambda cell: (len(cell), cell)),
        rows=tuple(sorted(rows)),
    )
