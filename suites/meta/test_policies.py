"""The tester is tested: comparators, judges and ledgers that are wrong fail batteries with answers known by hand."""

import pytest

from parity.ledger import Row
from parity.settling import Settling
from suites.meta import comparators, judges, ledgers


def test_the_comparator_passes_its_battery() -> None:
    assert comparators.failures(comparators.honest) == []


@pytest.mark.parametrize("wrong", comparators.COMPARATORS, ids=lambda wrong: wrong.__name__)
def test_a_wrong_comparator_fails_it(wrong: comparators.Comparator) -> None:
    assert comparators.failures(wrong)


def test_the_judge_passes_its_battery() -> None:
    assert judges.failures(judges.honest) == []


@pytest.mark.parametrize("wrong", judges.JUDGES, ids=lambda wrong: wrong.__name__)
def test_a_wrong_judge_fails_it(wrong: judges.Judge) -> None:
    assert judges.failures(wrong)


def test_the_ledger_passes_its_battery() -> None:
    assert ledgers.failures() == []


@pytest.mark.parametrize("wrong", ledgers.ROWS, ids=lambda wrong: wrong.__name__)
def test_a_wrong_row_fails_it(wrong: type[Row]) -> None:
    assert ledgers.failures(row=wrong)


@pytest.mark.parametrize("wrong", ledgers.SETTLINGS, ids=lambda wrong: wrong.__name__)
def test_a_wrong_settling_fails_it(wrong: type[Settling]) -> None:
    assert ledgers.failures(settling=wrong)
