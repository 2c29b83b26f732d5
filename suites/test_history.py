"""The bugs of suites.history_cases come out with the right first stage and the right cause."""

import pytest

import parity
from suites.carried_out import CarriedOut
from suites.history_cases import HISTORY, HistoryCase


@pytest.mark.parametrize("case", HISTORY, ids=[case.name for case in HISTORY])
def test_directed_inputs_name_stage_and_cause(case: HistoryCase) -> None:
    """The second lane is a black box: nothing but its bits says what it carried out."""
    ours, theirs = case.schemes
    explanation = parity.explain(parity.compare("engine:ptq", CarriedOut(scheme=theirs), ours, dtype=case.dtype))
    assert explanation.first_stage == case.first_stage
    assert explanation.explained == 1.0
    equally_good = [frozenset(causes) for causes in (explanation.causes, *explanation.undetermined)]
    assert case.causes in equally_good, explanation.sentence
    fields = {cause[0] for cause in case.causes}
    assert all({cause[0] for cause in causes} == fields for causes in equally_good), explanation.sentence


@pytest.mark.parametrize("case", HISTORY, ids=[case.name for case in HISTORY])
def test_the_other_way_round_the_values_change_places(case: HistoryCase) -> None:
    """The black box stands first, so the search starts from the second lane."""
    ours, theirs = case.schemes
    explanation = parity.explain(parity.compare(CarriedOut(scheme=theirs), "engine:ptq", ours, dtype=case.dtype))
    swapped = frozenset((field, b, a) for field, a, b in case.causes)
    assert swapped in [frozenset(causes) for causes in (explanation.causes, *explanation.undetermined)]


def test_every_case_has_its_own_name_and_two_schemes() -> None:
    assert len({case.name for case in HISTORY}) == len(HISTORY)
    assert not [case.name for case in HISTORY if case.schemes[0] == case.schemes[1]]
    assert {case.name.split("-")[0][:2] for case in HISTORY} == {"C1", "C2", "C3", "C4", "C5", "C6", "C7", "C8"}
