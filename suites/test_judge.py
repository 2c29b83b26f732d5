"""Each way in which two lanes can end has one verdict, and nothing uncompared is ever called identical."""

from dataclasses import replace

import pytest

from parity.judge import judge, raised_message
from parity.record import EdgeRecord, LaneRecord, StageDiff
from parity.verdicts import Outcome, Verdict
from suites.plain_records import EDGE, differing, lane, one_sided, same, unlike

A = lane()
B = lane(name="engine:qat_convert")
EQUAL = (same("weight.scale"), same("weight.codes"), same("output"))


def ended(record: LaneRecord, outcome: Outcome, message: str = "") -> LaneRecord:
    return lane(name=record.lane, outcome=outcome, message=message)


def verdict_on(
    *diffs: StageDiff,
    a: LaneRecord = A,
    b: LaneRecord = B,
    legal: bool = True,
    contract_text: str = "exact",
    again: tuple[LaneRecord, LaneRecord] | None = None,
) -> EdgeRecord:
    return judge(a, b, diffs, edge=EDGE, contract_text=contract_text, legal=legal, again=again)


def test_equal_stages_are_identical_and_leave_no_stages() -> None:
    record = verdict_on(*EQUAL)
    assert record == EdgeRecord(cell="default", edge=EDGE, verdict=Verdict.IDENTICAL, contract="exact")


def test_the_first_differing_stage_is_named_and_all_stages_are_kept() -> None:
    record = verdict_on(same("weight.scale"), differing("weight.codes", count=2), differing("output", ulp=9))
    assert record.verdict is Verdict.DIVERGED
    assert record.first_stage == "weight.codes"
    assert record.signature == f"{EDGE}|weight.codes|-|1|<10%"
    assert record.stages.names == ("weight.scale", "weight.codes", "output")


@pytest.mark.parametrize(
    "diff", [differing("output", ulp=0), unlike("output"), replace(same("output"), shape_b=(100,))]
)
def test_a_zero_sign_a_dtype_and_a_shape_are_differences(diff: StageDiff) -> None:
    assert verdict_on(same("weight.scale"), diff).verdict is Verdict.DIVERGED


def test_within_needs_every_stage_within() -> None:
    near, far = differing("output", ulp=2), differing("output", ulp=3)
    kept = verdict_on(*EQUAL[:2], near, contract_text="exact, output:ulp<=2")
    assert (kept.verdict, kept.first_stage, kept.signature) == (Verdict.WITHIN, "output", "")
    broken = verdict_on(*EQUAL[:2], far, contract_text="exact, output:ulp<=2")
    assert (broken.verdict, broken.first_stage) == (Verdict.DIVERGED, "output")


def test_within_names_the_first_stage_that_uses_the_contract() -> None:
    record = verdict_on(same("weight.codes"), differing("output"), differing("grad.input"), contract_text="ulp<=1")
    assert (record.verdict, record.first_stage) == (Verdict.WITHIN, "output")


def test_a_divergence_starts_where_the_contract_is_broken_not_where_it_is_used() -> None:
    record = verdict_on(differing("weight.scale"), differing("output"), contract_text="exact, weight.scale:ulp<=1")
    assert (record.verdict, record.first_stage) == (Verdict.DIVERGED, "output")
    assert record.stages.names == ("weight.scale", "output")


def test_a_stage_of_one_lane_alone_is_not_judged() -> None:
    assert verdict_on(*EQUAL, one_sided("weight.packed")).verdict is Verdict.IDENTICAL
    record = verdict_on(same("weight.codes"), one_sided("weight.packed"), differing("output"))
    assert record.stages.names == ("weight.codes", "output")


@pytest.mark.parametrize("diffs", [(), (one_sided("output"),)])
def test_nothing_compared_is_never_identical(diffs: tuple[StageDiff, ...]) -> None:
    record = verdict_on(*diffs)
    assert record.verdict is Verdict.CRASHED
    assert record.message == "engine:ptq and engine:qat_convert have no stage in common, so nothing was compared"


@pytest.mark.parametrize(
    ("legal", "a", "b", "verdict", "message"),
    [
        (False, "ValueError: eps is 0", "ValueError: eps", Verdict.UNSUPPORTED, "eps is 0"),
        (
            False,
            "ValueError: eps is 0",
            None,
            Verdict.DIVERGED,
            "engine:qat_convert returned; the cell is illegal, so it should have raised ValueError",
        ),
        (
            False,
            "TypeError: eps",
            "ValueError: eps is 0",
            Verdict.DIVERGED,
            "engine:ptq raised TypeError: eps; the cell is illegal, so it should have raised ValueError",
        ),
        (
            True,
            None,
            "ValueError: eps is 0",
            Verdict.DIVERGED,
            "engine:qat_convert raised ValueError: eps is 0; the cell is legal, so it should have run",
        ),
        (
            True,
            "ValueError: x",
            "ValueError: x",
            Verdict.DIVERGED,
            "engine:ptq raised ValueError: x; the cell is legal, so it should have run; "
            "engine:qat_convert raised ValueError: x; the cell is legal, so it should have run",
        ),
    ],
)
def test_raising_is_right_on_illegal_cells_alone(
    legal: bool, a: str | None, b: str | None, verdict: Verdict, message: str
) -> None:
    lanes = [
        ran if text is None else ended(ran, Outcome.RAISED, text) for ran, text in zip((A, B), (a, b), strict=True)
    ]
    record = verdict_on(a=lanes[0], b=lanes[1], legal=legal)
    assert (record.verdict, record.message) == (verdict, message)
    diverged = verdict is Verdict.DIVERGED
    assert record.first_stage == ("raise" if diverged else None)
    assert record.signature == (f"{EDGE}|raise|-|-|-" if diverged else "")


def test_an_illegal_cell_that_returns_on_both_lanes_diverged_however_equal() -> None:
    record = verdict_on(*EQUAL, legal=False)
    assert (record.verdict, record.first_stage) == (Verdict.DIVERGED, "raise")


@pytest.mark.parametrize("legal", [True, False])
@pytest.mark.parametrize(
    ("a", "b", "verdict"),
    [
        (Outcome.UNRUN, Outcome.RAN, Verdict.UNRUN),
        (Outcome.RAISED, Outcome.UNRUN, Verdict.UNRUN),
        (Outcome.UNRUN, Outcome.CRASHED, Verdict.CRASHED),
        (Outcome.TIMEOUT, Outcome.UNRUN, Verdict.TIMEOUT),
        (Outcome.TIMEOUT, Outcome.CRASHED, Verdict.CRASHED),
    ],
)
def test_a_lane_without_an_answer_decides(a: Outcome, b: Outcome, verdict: Verdict, legal: bool) -> None:
    record = verdict_on(a=ended(A, a, "no cuda"), b=ended(B, b, "no cuda"), legal=legal)
    assert record.verdict is verdict
    assert record.message.endswith(": no cuda")
    assert record.first_stage is None


def test_a_lane_that_moves_when_run_again_is_nondeterministic() -> None:
    moved = lane(name=B.lane, digests=("0123456789abcdef", "00000000000000fe"))
    record = verdict_on(same("weight.scale"), differing("weight.codes"), again=(A, moved))
    assert record.verdict is Verdict.NONDETERMINISTIC
    assert record.message == "engine:qat_convert gave other bits when run again at weight.codes"
    assert record.first_stage == "weight.codes"
    # Even where the first runs agreed: agreement by chance is no agreement.
    assert verdict_on(*EQUAL, again=(A, moved)).verdict is Verdict.NONDETERMINISTIC
    raised = verdict_on(*EQUAL, again=(ended(A, Outcome.RAISED, "ValueError: x"), B))
    assert raised.message == "engine:ptq ran the first time and raised the second"


def test_a_divergence_that_stays_when_run_again_is_a_divergence() -> None:
    assert verdict_on(differing("output"), again=(A, B)).verdict is Verdict.DIVERGED


def test_a_lane_that_ran_did_not_raise_whatever_its_message_says() -> None:
    ran = replace(A, message="ValueError: eps is 0")
    assert verdict_on(a=ran, b=replace(B, message=ran.message), legal=False).verdict is Verdict.DIVERGED


def test_every_kind_of_value_error_is_one() -> None:
    assert raised_message(UnicodeError("x")) == "ValueError: x"
    assert raised_message(KeyError("x")) == "KeyError: 'x'"


def test_two_cells_are_not_compared() -> None:
    with pytest.raises(ValueError, match="joins two lanes on one cell, not 'default' and 'dtype:bf16'"):
        verdict_on(b=replace(B, cell="dtype:bf16"))


def test_a_contract_that_cannot_be_checked_is_refused_even_when_all_is_equal() -> None:
    with pytest.raises(ValueError, match="'tie' cannot be checked"):
        verdict_on(*EQUAL, contract_text="tie")
