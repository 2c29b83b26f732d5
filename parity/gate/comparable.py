"""Two runs are comparable iff they were made in one setting and differ in one subject alone; whole iff nothing is lost.

What is not comparable is refused (exit code 2); what is not whole is incomplete (exit code 3).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from parity.manifest import RunStatus, reconciliation
from parity.setting import Environment, Fact, difference, subject_difference
from parity.store import Run
from parity.verdicts import INCOMPLETE, Outcome

ENGINE: Final = "engine"

# Lanes named before the rest is only counted.
_NAMED: Final = 5


class IncomparableError(ValueError):
    """The two runs cannot answer the question; str() holds every reason."""


def refuse_incomparable(baseline: Run, candidate: Run, subject: str = ENGINE) -> None:
    """Raises IncomparableError unless the settings are equal and no subject but the one named differs."""
    if baseline.directory.resolve() == candidate.directory.resolve():
        raise IncomparableError(f"baseline and candidate are one run, {baseline.directory}: nothing could differ")
    before, after = baseline.manifest.environment, candidate.manifest.environment
    names = tuple(name for name in before.subject.keys() | after.subject.keys() if _is_of(name, subject))
    if not names:
        known = ", ".join(sorted({ENGINE, *(name for name in after.subject if not _is_of(name, ENGINE))}))
        raise IncomparableError(f"neither run has a subject {subject!r}; their subjects are {known}")
    if subject != ENGINE and all(before.subject.get(name) is None for name in names):
        raise IncomparableError(f"the baseline was made without {subject}, so there is nothing to hold it against")
    reasons = difference(before, after) + subject_difference(_others(before, subject), _others(after, subject))
    if reasons:
        raise IncomparableError(
            f"the runs cannot be compared, for more than the subject {subject!r} differs: {'; '.join(reasons)}"
        )


def holes(baseline: Run, candidate: Run) -> tuple[str, ...]:
    """A sentence for everything that was planned and not seen; () = both runs are whole."""
    found = [*_of_one("baseline", baseline), *_of_one("candidate", candidate)]
    ran, missing = _ran(baseline), _not_ran(candidate)
    lost: dict[str, list[str]] = {}
    for key in sorted(ran & missing.keys()):
        lost.setdefault(key[1], []).append(key[0])
    for lane, cells in list(lost.items())[:_NAMED]:
        why = missing[cells[0], lane]
        found.append(f"{lane} ran in {len(cells):,} cells of the baseline and did not in the candidate: {why}")
    if len(lost) > _NAMED:
        found.append(f"{len(lost) - _NAMED} more lanes ran in the baseline and did not in the candidate")
    return tuple(found)


def _of_one(name: str, run: Run) -> Iterable[str]:
    manifest = run.manifest
    if manifest.status is not RunStatus.COMPLETE:
        yield f"the {name} {run.directory} is {manifest.status}"
    if not manifest.planned:
        yield f"the {name} {run.directory} planned no cell"
    counts = reconciliation(manifest, run.judged())
    yield from (f"{name}: {sentence}" for sentence in (*run.lost, *counts.sentences))
    if name == "candidate":
        unseen = {verdict: n for verdict, n in counts.verdicts.items() if verdict in INCOMPLETE and n}
        yield from (f"{name}: {n:,} {'pair' if n == 1 else 'pairs'} {verdict}" for verdict, n in unseen.items())


def _ran(run: Run) -> set[tuple[str, str]]:
    return {key for key, outcome, _ in _outcomes(run) if outcome in (Outcome.RAN, Outcome.RAISED)}


def _not_ran(run: Run) -> Mapping[tuple[str, str], str]:
    """(cell, lane) -> why, of the lanes that were to run and did not."""
    return {
        key: message or outcome
        for key, outcome, message in _outcomes(run)
        if outcome not in (Outcome.RAN, Outcome.RAISED)
    }


def _outcomes(run: Run) -> Iterable[tuple[tuple[str, str], str, str]]:
    columns = (run.lanes.column(name) for name in ("cell", "lane", "outcome", "message"))
    return (((cell, lane), outcome, message) for cell, lane, outcome, message in zip(*columns, strict=True))


def _is_of(fact: str, subject: str) -> bool:
    """The engine is told by several facts (commit, changes), every other subject by the one of its name."""
    return fact.startswith("engine_") if subject == ENGINE else fact == subject


def _others(environment: Environment, subject: str) -> Environment:
    facts: dict[str, Fact] = {name: fact for name, fact in environment.subject.items() if not _is_of(name, subject)}
    return Environment(setting={}, subject=facts)
