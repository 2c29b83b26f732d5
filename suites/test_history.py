"""Bugs of the past, planted one by one, come out with the right first stage and the right cause, field and values."""

import re

import pytest

import parity
from parity.explanation import Explanation
from parity.history import BURN, HISTORY, NOT_TRIED, PUBLISHED, TORCHAO, HistoryCase
from parity.verdicts import Verdict

by_name = pytest.mark.parametrize("case", HISTORY, ids=[case.name for case in HISTORY])


def check(case: HistoryCase, found: Explanation, *, swapped: bool = False) -> None:
    """The stage and the decisions are the case's; another set is as good only where the case says why."""
    assert found.first_stage == case.first_stage
    sets = [frozenset(causes) for causes in (found.causes, *found.undetermined)]
    if case.spoiled:
        assert sets == [frozenset()]
        assert found.explained < 1
        return
    expected = frozenset((field, b, a) if swapped else (field, a, b) for field, a, b in case.causes)
    assert expected in sets, found.sentence
    assert found.explained == 1.0
    fields = {cause[0] for cause in expected}
    others = {cause[0] for causes in sets for cause in causes} - fields
    assert others <= {*case.alike} if swapped else others == {*case.alike}, found.sentence


@by_name
def test_directed_inputs_name_stage_and_cause(case: HistoryCase) -> None:
    """The second lane is a black box: nothing but its bits says what it carried out."""
    record = case.compared()
    assert record.verdict is Verdict.DIVERGED
    check(case, parity.explain(record))


@pytest.mark.parametrize(
    "case",
    [
        pytest.param(case, id=case.name, marks=() if case in PUBLISHED else pytest.mark.nightly)
        for case in HISTORY
        if not case.spoiled and case.output_dtype is None  # what no scheme says is nothing to start from
    ],
)
def test_the_other_way_round_the_values_change_places(case: HistoryCase) -> None:
    """The black box stands first, so the search starts from the second lane."""
    check(case, parity.explain(case.compared(swapped=True)), swapped=True)


def test_a_shape_that_differs_is_told_as_such() -> None:
    (case,) = (case for case in HISTORY if case.name == "ao-46-scale-shape")
    assert "weight.scale has the shape (32, 1) in engine:ptq, but (32, 1, 1) in" in case.compared().sentence


def test_a_dtype_that_differs_is_told_as_such() -> None:
    (case,) = (case for case in HISTORY if case.name.startswith("C3c"))
    assert "output is bfloat16 in engine:ptq, but int64 in" in case.compared().sentence


# --- the tables ---------------------------------------------------------------------------------------------------


def test_every_case_has_its_own_name_and_two_lanes() -> None:
    assert len({case.name for case in HISTORY}) == len(HISTORY)
    assert not [case.name for case in HISTORY if not case.causes and not case.spoiled]
    assert not [case.name for case in HISTORY if case.causes and case.spoiled]
    assert {case.name[:2] for case in PUBLISHED} == {f"C{n}" for n in range(1, 9)}


def test_every_entry_of_torchao_s_list_is_tried_or_says_why_not() -> None:
    tried = {name[0] for case in TORCHAO if (name := re.match(r"ao-\d\d", case.name))}
    not_tried = {name for name in NOT_TRIED if name.startswith("ao-")}
    assert not tried & not_tried
    assert sorted(tried | not_tried) == [f"ao-{n:02}" for n in range(1, 54)]
    assert [case.name for case in TORCHAO] == sorted(case.name for case in TORCHAO)


def test_every_entry_of_burn_s_study_is_tried_or_says_why_not() -> None:
    """Its section 8: what was so at #3042, what was mended since, and what is open."""
    entries = {f"burn-8.{part}-{n}" for part, count in ((1, 8), (2, 11), (3, 11)) for n in range(1, count + 1)}
    tried = {found[0] for case in BURN if (found := re.match(r"burn-8\.\d-\d+", case.name))}
    assert len({case.name for case in BURN}) == len(BURN)
    not_tried = {name for name in NOT_TRIED if name.startswith("burn-")}
    assert not tried & not_tried
    assert tried | not_tried == entries
