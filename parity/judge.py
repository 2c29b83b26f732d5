"""verdict = f(how both lanes ended, whether the cell is legal, what their stages have in common), before any ledger."""

from collections.abc import Sequence
from typing import Final

from parity.contract import contract
from parity.record import ByStage, EdgeRecord, LaneRecord, StageDiff
from parity.signature import RAISE, raised_signature, signature_of
from parity.verdicts import Outcome, Verdict

_VALUE_ERROR: Final = "ValueError: "

# How a lane can fail to answer at all, in the order in which one hides the other.
_UNANSWERED: Final = (
    (Outcome.CRASHED, Verdict.CRASHED),
    (Outcome.TIMEOUT, Verdict.TIMEOUT),
    (Outcome.UNRUN, Verdict.UNRUN),
)


def raised_message(error: BaseException) -> str:
    """The message of a lane that raised: "ValueError: ..." for every kind of ValueError, else the type's own name."""
    kind = "ValueError" if isinstance(error, ValueError) else type(error).__name__
    return f"{kind}: {error}"


def judge(
    a: LaneRecord,
    b: LaneRecord,
    diffs: Sequence[StageDiff],
    *,
    edge: str,
    contract_text: str,
    legal: bool,
    again: tuple[LaneRecord, LaneRecord] | None = None,
) -> EdgeRecord:
    """The pair's record. diffs = the stages either lane has, in order; again = both lanes' second run, where made.

    A stage that one lane has not is not judged: a flow without packing has no packed bytes to be wrong about.
    A lane that did not run twice alike is NONDETERMINISTIC, whatever the bits say. A legal cell must run on both lanes;
    an illegal one must raise ValueError on both. Two lanes without a common stage were not compared: CRASHED, never
    IDENTICAL. Raises ValueError for records of two cells, and for a contract that cannot be checked.
    """
    if a.cell != b.cell:
        raise ValueError(f"the edge {edge!r} joins two lanes on one cell, not {a.cell!r} and {b.cell!r}")
    promises = contract(contract_text)
    common = [diff for diff in diffs if not diff.one_sided]
    different = [diff for diff in common if not diff.identical]

    def record(verdict: Verdict, message: str = "", first: StageDiff | None = None) -> EdgeRecord:
        """The stages are kept when any of them differs; the signature only where the pair diverged."""
        diverged = verdict is Verdict.DIVERGED
        signature = "" if not diverged else str(raised_signature(edge) if first is None else signature_of(edge, first))
        return EdgeRecord(
            cell=a.cell,
            edge=edge,
            verdict=verdict,
            contract=contract_text,
            first_stage=first.stage if first is not None else RAISE if diverged else None,
            stages=ByStage(common) if first is not None else ByStage(),
            signature=signature,
            message=message,
        )

    for outcome, verdict in _UNANSWERED:
        for lane in (a, b):
            if lane.outcome is outcome:
                return record(verdict, f"{lane.lane}: {lane.message or outcome.value}")
    if again is not None:
        unsteady = [text for once, twice in zip((a, b), again, strict=True) if (text := _moved(once, twice))]
        if unsteady:
            return record(Verdict.NONDETERMINISTIC, "; ".join(unsteady), different[0] if different else None)
    raised = [lane for lane in (a, b) if lane.outcome is Outcome.RAISED]
    if not legal:
        wrong = [lane for lane in (a, b) if lane not in raised or not lane.message.startswith(_VALUE_ERROR)]
        if not wrong:
            return record(Verdict.UNSUPPORTED, a.message.removeprefix(_VALUE_ERROR))
        return record(Verdict.DIVERGED, "; ".join(_should_have_raised(lane) for lane in wrong))
    if raised:
        return record(Verdict.DIVERGED, "; ".join(_should_have_run(lane) for lane in raised))
    if not common:
        return record(Verdict.CRASHED, f"{a.lane} and {b.lane} have no stage in common, so nothing was compared")
    if not different:
        return record(Verdict.IDENTICAL)
    broken = next((diff for diff in different if not promises.at(diff.stage).kept_by(diff)), None)
    if broken is None:
        return record(Verdict.WITHIN, first=different[0])
    return record(Verdict.DIVERGED, first=broken)


def _should_have_run(lane: LaneRecord) -> str:
    return f"{lane.lane} raised {lane.message}; the cell is legal, so it should have run"


def _should_have_raised(lane: LaneRecord) -> str:
    did = f"raised {lane.message}" if lane.outcome is Outcome.RAISED else "returned"
    return f"{lane.lane} {did}; the cell is illegal, so it should have raised ValueError"


def _moved(once: LaneRecord, twice: LaneRecord) -> str:
    """A sentence when two runs of one lane part, by outcome or by the digest of any stage; else ""."""
    if once.outcome is not twice.outcome:
        return f"{once.lane} {once.outcome.value} the first time and {twice.outcome.value} the second"
    first = {stage.stage: stage for stage in once.stages}
    second = {stage.stage: stage for stage in twice.stages}
    moved = [name for name in first | second if first.get(name) != second.get(name)]
    return f"{once.lane} gave other bits when run again at {', '.join(moved)}" if moved else ""
