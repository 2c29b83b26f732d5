"""verdict_sentence(run) = "0 new divergences; 41 known; 96 pairs unrun: no cuda": what terminal and page say alike."""

from collections import Counter
from collections.abc import Mapping

import pyarrow.compute as pc

from parity.manifest import Reconciliation, RunStatus, reconciliation
from parity.store import Run
from parity.verdicts import NEW_DIVERGENCES, Verdict

# Reasons named before the rest is only counted.
_REASONS_TOLD = 3

# What a lane says that could have run, but whose only partner could not.
_FOR_WANT_OF_THE_OTHER = "not needed: "


def verdict_sentence(run: Run) -> str:
    """One sentence about a run, without a full stop; new divergences first, also when there are none."""
    return sentence(reconciliation(run.manifest, run.judged()), unrun_reasons(run), run.manifest.status, len(run.lost))


def sentence(counts: Reconciliation, reasons: Mapping[str, int], status: RunStatus, files_lost: int) -> str:
    """The sentence of these counts; reasons = why pairs were not run, with the number of each."""
    given = counts.verdicts
    new = sum(given[verdict] for verdict in NEW_DIVERGENCES)
    unsteady = given[Verdict.NONDETERMINISTIC]
    parts = [counted(new, "new divergence") + (f" ({unsteady:,} not the same twice)" if unsteady else "")]
    if not counts.planned:
        parts = ["nothing was planned, so nothing is known"]
    parts += [f"{given[verdict]:,} {words}" for verdict, words in _SAID if given[verdict]]
    parts += [f"{counted(counts.lost, 'pair')} lost"] if counts.lost else []
    parts += [f"{counted(files_lost, 'record file')} unreadable"] if files_lost else []
    if unrun := given[Verdict.UNRUN]:
        parts.append(f"{counted(unrun, 'pair')} unrun{_because(reasons)}")
    parts += [f"the run is {status.value}"] if status is not RunStatus.COMPLETE else []
    return "; ".join(parts)


_SAID = (
    (Verdict.KNOWN, "known"),
    (Verdict.FIXED, "fixed"),
    (Verdict.WITHIN, "within their bounds"),
    (Verdict.CRASHED, "crashed"),
    (Verdict.TIMEOUT, "timed out"),
)


def unrun_reasons(run: Run) -> dict[str, int]:
    """Why pairs were not run, without the lane that each message begins with; the most frequent first."""
    table = run.edges.table.select(["edge", "verdict", "message"])
    unrun = table.filter(pc.equal(table.column("verdict"), Verdict.UNRUN.value))
    groups = unrun.group_by(["edge", "message"]).aggregate([([], "count_all")]).to_pylist()
    reasons = Counter[str]()
    for group in groups:
        reasons[_without_lane(group["message"], group["edge"])] += group["count_all"]
    return dict(sorted(reasons.items(), key=lambda item: (-item[1], item[0])))


def counted(n: int, noun: str) -> str:
    """counted(1, "pair") = "1 pair", counted(1200, "pair") = "1,200 pairs"."""
    return f"{n:,} {noun}" if n == 1 else f"{n:,} {noun}s"


def _without_lane(message: str, edge: str) -> str:
    lanes = (f"{lane}: " for lane in edge.split("~"))
    said = next((message.removeprefix(lane) for lane in lanes if message.startswith(lane)), message)
    return said.removeprefix(_FOR_WANT_OF_THE_OTHER)


def _because(reasons: Mapping[str, int]) -> str:
    told = [(reason, n) for reason, n in reasons.items() if reason]
    if not told:
        return ""
    if len(reasons) == 1:
        return f": {told[0][0]}"
    more = len(told) - _REASONS_TOLD
    tail = [counted(more, "other reason")] if more > 0 else []
    return ": " + ", ".join([*(f"{reason} ({n:,})" for reason, n in told[:_REASONS_TOLD]), *tail])
