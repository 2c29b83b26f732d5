"""Judges that are too kind, and a battery of pairs whose verdicts are known by hand."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Final

from parity.judge import judge
from parity.record import EdgeRecord, LaneRecord, StageDiff
from parity.verdicts import Outcome, Verdict
from suites.plain_records import EDGE, differing, lane, one_sided, same, unlike

A, B = lane(), lane(name="engine:qat_convert")


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """What a judge is given, and what it must say: the verdict and the first stage."""

    diffs: Sequence[StageDiff] = ()
    a: LaneRecord = A
    b: LaneRecord = B
    legal: bool = True
    contract: str = "exact"
    again: tuple[LaneRecord, LaneRecord] | None = None
    verdict: Verdict
    first_stage: str | None = None


Judge = Callable[[Pair], EdgeRecord]


def _ended(outcome: Outcome, message: str = "") -> LaneRecord:
    return lane(name=B.lane, outcome=outcome, message=message)


_MOVED: Final = lane(digests=("0123456789abcdef", "00000000000000fe"))
_REFUSED: Final = _ended(Outcome.RAISED, "ValueError: no")

BATTERY: Final = (
    Pair(diffs=(same("weight.scale"), same("output")), verdict=Verdict.IDENTICAL),
    Pair(diffs=(same("weight.scale"), differing("output")), verdict=Verdict.DIVERGED, first_stage="output"),
    Pair(diffs=(differing("weight.scale"), differing("output")), verdict=Verdict.DIVERGED, first_stage="weight.scale"),
    Pair(diffs=(unlike("weight.scale"),), verdict=Verdict.DIVERGED, first_stage="weight.scale"),
    Pair(diffs=(differing("output", incomparable=1),), verdict=Verdict.DIVERGED, first_stage="output"),
    Pair(diffs=(one_sided("weight.packed"), same("output")), verdict=Verdict.IDENTICAL),
    Pair(diffs=(one_sided("weight.packed"),), verdict=Verdict.CRASHED),
    Pair(diffs=(differing("output", ulp=2),), contract="ulp<=2", verdict=Verdict.WITHIN, first_stage="output"),
    Pair(diffs=(differing("output", ulp=3),), contract="ulp<=2", verdict=Verdict.DIVERGED, first_stage="output"),
    Pair(b=_ended(Outcome.CRASHED), verdict=Verdict.CRASHED),
    Pair(b=_ended(Outcome.TIMEOUT), verdict=Verdict.TIMEOUT),
    Pair(b=_ended(Outcome.UNRUN), verdict=Verdict.UNRUN),
    Pair(a=lane(outcome=Outcome.UNRUN), b=_ended(Outcome.CRASHED), verdict=Verdict.CRASHED),
    Pair(b=_REFUSED, verdict=Verdict.DIVERGED, first_stage="raise"),
    Pair(a=replace(_REFUSED, lane=A.lane), b=_REFUSED, verdict=Verdict.DIVERGED, first_stage="raise"),
    Pair(a=replace(_REFUSED, lane=A.lane), b=_REFUSED, legal=False, verdict=Verdict.UNSUPPORTED),
    Pair(b=_REFUSED, legal=False, verdict=Verdict.DIVERGED, first_stage="raise"),
    Pair(diffs=(same("output"),), legal=False, verdict=Verdict.DIVERGED, first_stage="raise"),
    Pair(
        a=replace(_REFUSED, lane=A.lane),
        b=_ended(Outcome.RAISED, "TypeError: no"),
        legal=False,
        verdict=Verdict.DIVERGED,
        first_stage="raise",
    ),
    Pair(
        diffs=(differing("weight.codes"),),
        again=(_MOVED, B),
        verdict=Verdict.NONDETERMINISTIC,
        first_stage="weight.codes",
    ),
)


def honest(pair: Pair) -> EdgeRecord:
    return judge(pair.a, pair.b, pair.diffs, edge=EDGE, contract_text=pair.contract, legal=pair.legal, again=pair.again)


def everything_legal(pair: Pair) -> EdgeRecord:
    return honest(replace(pair, legal=True))


def never_run_again(pair: Pair) -> EdgeRecord:
    return honest(replace(pair, again=None))


def a_last_stage_judge(pair: Pair) -> EdgeRecord:
    """Looks at the output alone, as an end-to-end test does."""
    return honest(replace(pair, diffs=pair.diffs[-1:]))


def one_sided_stages_count(pair: Pair) -> EdgeRecord:
    return honest(replace(pair, diffs=[replace(d, dtype_a="float32") if d.one_sided else d for d in pair.diffs]))


def dtypes_do_not_count(pair: Pair) -> EdgeRecord:
    return honest(
        replace(pair, diffs=[same(d.stage) if not d.histogram and not d.one_sided else d for d in pair.diffs])
    )


def any_contract_is_met(pair: Pair) -> EdgeRecord:
    return honest(replace(pair, contract="ulp<=1000" if pair.contract != "exact" else "exact"))


def any_contract_is_exact(pair: Pair) -> EdgeRecord:
    return honest(replace(pair, contract="exact"))


def a_single_ulp_is_nothing(pair: Pair) -> EdgeRecord:
    return honest(replace(pair, contract="ulp<=1" if pair.contract == "exact" else pair.contract))


def any_error_is_a_refusal(pair: Pair) -> EdgeRecord:
    renamed = [
        replace(record, message=f"ValueError: {record.message}") if record.outcome is Outcome.RAISED else record
        for record in (pair.a, pair.b)
    ]
    return honest(replace(pair, a=renamed[0], b=renamed[1]))


def a_refusal_by_one_is_enough(pair: Pair) -> EdgeRecord:
    found = honest(pair)
    refused = Outcome.RAISED in (pair.a.outcome, pair.b.outcome)
    return replace(found, verdict=Verdict.UNSUPPORTED, first_stage=None) if refused else found


def a_crash_is_unrun(pair: Pair) -> EdgeRecord:
    found = honest(pair)
    return replace(found, verdict=Verdict.UNRUN) if found.verdict is Verdict.CRASHED else found


def a_timeout_is_unrun(pair: Pair) -> EdgeRecord:
    found = honest(pair)
    return replace(found, verdict=Verdict.UNRUN) if found.verdict is Verdict.TIMEOUT else found


def unrun_is_identical(pair: Pair) -> EdgeRecord:
    found = honest(pair)
    return replace(found, verdict=Verdict.IDENTICAL) if found.verdict is Verdict.UNRUN else found


def nothing_common_is_identical(pair: Pair) -> EdgeRecord:
    found = honest(pair)
    lost = found.verdict is Verdict.CRASHED and Outcome.CRASHED not in (pair.a.outcome, pair.b.outcome)
    return replace(found, verdict=Verdict.IDENTICAL) if lost else found


JUDGES: Final[tuple[Judge, ...]] = (
    everything_legal,
    never_run_again,
    a_last_stage_judge,
    one_sided_stages_count,
    dtypes_do_not_count,
    any_contract_is_met,
    any_contract_is_exact,
    a_single_ulp_is_nothing,
    any_error_is_a_refusal,
    a_refusal_by_one_is_enough,
    a_crash_is_unrun,
    a_timeout_is_unrun,
    unrun_is_identical,
    nothing_common_is_identical,
)


def failures(judged: Judge) -> list[int]:
    """The places in the battery where a judge is wrong."""
    found = [(judged(pair).verdict, judged(pair).first_stage) for pair in BATTERY]
    return [i for i, pair in enumerate(BATTERY) if found[i] != (pair.verdict, pair.first_stage)]
