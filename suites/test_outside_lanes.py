"""Slips that are in no list of bugs, written as somebody else's code: the right stage, and the right cause or none."""

from __future__ import annotations

import pytest

import parity
from parity.verdicts import Verdict
from suites.outside_lanes import ASYMMETRIC, BEYOND, BF16, DECISIONS, Slip, choose, dequantize, quantize


def names(slip: Slip) -> str:
    return slip.name


def test_the_functions_without_a_slip_are_the_engine_s() -> None:
    honest = parity.backend_from_functions("outside", choose_qparams=choose, quantize=quantize, dequantize=dequantize)
    record = parity.compare("engine:ptq", honest, ASYMMETRIC, dtype=BF16)
    assert record.verdict is Verdict.IDENTICAL, record.sentence


@pytest.mark.parametrize("slip", DECISIONS, ids=names)
def test_a_slip_that_the_rules_can_say_is_said(slip: Slip) -> None:
    record = parity.compare("engine:ptq", slip.backend, slip.scheme, dtype=slip.dtype)
    found = parity.explain(record)
    assert (record.first_stage, found.explained) == (slip.stage, 1.0), found.sentence
    assert slip.causes in [frozenset(map(tuple, causes)) for causes in (found.causes, *found.undetermined)]


@pytest.mark.parametrize(
    "slip",
    [pytest.param(slip, marks=() if i in (0, 1, 6) else pytest.mark.nightly) for i, slip in enumerate(BEYOND)],
    ids=names,
)
def test_a_slip_that_they_cannot_say_has_no_cause(slip: Slip) -> None:
    record = parity.compare("engine:ptq", slip.backend, slip.scheme, dtype=slip.dtype)
    found = parity.explain(record)
    assert record.first_stage == slip.stage
    assert found.causes == found.undetermined == ()
    assert found.explained < 1
