"""A run writes the cause of a new divergence into its records, and only where it reproduces that very cell."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from math import frexp
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from parity.backends.engine import EngineBackend
from parity.causes import Sought, causes_of
from parity.cell_pair import cell_pair
from parity.cells import parse_cell
from parity.cli.summary import summary
from parity.edges import triangle
from parity.evaluate import evaluate
from parity.explain import accounts_for, explain
from parity.explanation import Cause
from parity.kept_explanation import read_explanations
from parity.lanes import Flow, Lane
from parity.record import EdgeRecord
from parity.run import run
from parity.signature import Signature
from parity.store import load_run
from parity.trace import Trace
from parity.verdicts import Verdict
from quant import QuantScheme
from reports.render import write_report
from suites.meta.defects import weight_rules

CELLS = tuple(f"preset:intx_weight_only,{rest}" for rest in ("family:ties", "dtype:bf16", "dtype:bf16,family:ties"))
DIVISION = Cause("code_division", "divide", "reciprocal_multiply")
EDGE = "engine:ptq~engine:qat_convert"

Change = Callable[[QuantScheme, Tensor], QuantScheme]
Spoil = Callable[[Trace], Trace]


def plant(monkeypatch: pytest.MonkeyPatch, change: Change, spoil: Spoil = lambda trace: trace) -> None:
    """Let the engine's convert lane carry out another scheme, and return what `spoil` makes of its trace."""
    honest = EngineBackend.trace

    def trace(
        self: EngineBackend,
        lane: Lane,
        layer: nn.Module,
        x: Tensor,
        scheme: QuantScheme,
        steps: int = 0,
        *,
        gradients: bool = False,
    ) -> Trace:
        if lane.flow is not Flow.QAT_CONVERT:
            return honest(self, lane, layer, x, scheme, steps, gradients=gradients)
        assert isinstance(layer.weight, Tensor)
        return spoil(honest(self, lane, layer, x, change(scheme, layer.weight), steps))

    monkeypatch.setattr(EngineBackend, "trace", trace)


def by_reciprocal(scheme: QuantScheme, weight: Tensor) -> QuantScheme:
    return weight_rules(code_division="reciprocal_multiply")(scheme)


def diverged() -> list[EdgeRecord]:
    """The records of CELLS on one edge, as they are judged; those that differ."""
    found = [evaluate([parse_cell(cell)], lambda _: triangle("engine")).edges for cell in CELLS]
    return [record for edges in found for record in edges if record.edge == EDGE and record.verdict is Verdict.DIVERGED]


def noisy(trace: Trace) -> Trace:
    """Every 97th code is another one."""
    codes = trace["weight.codes"].tensor.clone()
    codes.view(-1)[::97] ^= 1
    return Trace(replace(stage, tensor=codes) if stage.name == "weight.codes" else stage for stage in trace)


# --- what is found ------------------------------------------------------------------------------------------------


def test_one_is_explained_and_the_others_are_checked(monkeypatch: pytest.MonkeyPatch) -> None:
    plant(monkeypatch, by_reciprocal)
    records = diverged()
    assert len(records) == 3
    sought = causes_of(records, 60.0)
    assert [sought.causes[record.cell, record.edge] for record in records] == [str(DIVISION)] * 3
    given = [sought.given(record) for record in records]
    assert {record.cause for record in given} == {Signature.parse(record.signature).cause for record in given}
    assert sought.sentence == ""


def test_two_causes_behind_one_signature_are_kept_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    """Cells alike to the eye: every record gets what reproduces it, none what reproduces another."""

    def by_dtype(scheme: QuantScheme, weight: Tensor) -> QuantScheme:
        wide = weight.dtype is torch.float32
        return weight_rules(code_rounding="truncate" if wide else "half_away")(scheme)

    plant(monkeypatch, by_dtype)
    signature = diverged()[0].signature
    records = [replace(record, signature=signature) for record in diverged()]
    causes = causes_of(records, 60.0).causes
    for record in records:
        rounding = "half_away" if "bf16" in record.cell else "truncate"
        assert causes[record.cell, record.edge] == f"code_rounding: half_even against {rounding}"


def test_a_cause_of_another_cell_does_not_account_for_this_one(monkeypatch: pytest.MonkeyPatch) -> None:
    plant(monkeypatch, by_reciprocal)
    pair = cell_pair(CELLS[0], EDGE, siblings=())
    assert len(pair.cases) == 1
    assert accounts_for(pair, [DIVISION])
    assert accounts_for(pair.swapped, [Cause(DIVISION.field, DIVISION.value_b, DIVISION.value_a)])
    assert not accounts_for(pair, [Cause("code_rounding", "half_even", "truncate")])
    assert not accounts_for(pair, [])


def test_what_was_found_out_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of one record of the signature: what the oracle says of each lane, and an exact quotient at a tie."""
    plant(monkeypatch, by_reciprocal)
    (kept,) = causes_of(diverged()[:1], 60.0).kept
    assert kept.explanation == explain(diverged()[0])
    a, b = kept.judged
    assert (kept.explanation.right, a.lane, a.stage, b.stage) == (EDGE.split("~")[0], a.lane, None, "weight.codes")
    assert b.sentence.startswith("weight.codes[")
    assert kept.tie is not None
    places = kept.tie.places
    assert [place.lane for place in places] == EDGE.split("~")
    assert {place.code for place in places} == {place.tie + side for place in places for side in (-0.5, 0.5)}
    for place in places:
        exact = Fraction(float.fromhex(kept.tie.x)) / Fraction(float.fromhex(place.scale))
        assert place.exact == float(exact)
        assert place.ulps == float(abs(exact - Fraction(place.tie)) / _ulp_of_float32(place.exact))
        assert place.ulps < 1
    assert kept.small is not None
    assert 'for text in ("engine:ptq", "engine:qat_convert")' in kept.small.script


def test_noise_has_no_cause(monkeypatch: pytest.MonkeyPatch) -> None:
    plant(monkeypatch, by_reciprocal, noisy)
    records = diverged()
    sought = causes_of(records, 60.0)
    assert (sought.causes, sought.tried, sought.sentence) == ({}, len(records), "")
    assert [sought.given(record) for record in records] == records
    assert 0 < len(sought.kept) <= len(records)
    assert all("unexplained" in kept.explanation.sentence for kept in sought.kept)


def test_what_there_was_no_time_for_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    plant(monkeypatch, by_reciprocal)
    sought = causes_of(diverged(), -1.0)
    assert sought == Sought(3, 0)
    assert sought.sentence.startswith("causes were sought for 0 of 3 new divergences")


def test_what_cannot_be_explained_alone_is_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    plant(monkeypatch, by_reciprocal)
    of_file = [replace(record, cell="preset:intx_weight_only,layer:fc1") for record in diverged()[:1]]
    assert causes_of(of_file, 60.0).causes == {}


def _ulp_of_float32(value: float) -> Fraction:
    return Fraction(2) ** (frexp(value)[1] - 24)


# --- where it is said ---------------------------------------------------------------------------------------------


def test_records_page_and_terminal_say_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plant(monkeypatch, by_reciprocal)
    ledger = tmp_path / "ledger.toml"
    ledger.write_text("")
    result = run(cells=CELLS, out=tmp_path / "run", executor="inline", lanes=EDGE.split("~"), ledger=ledger)
    records = [record for record in load_run(result.directory).edges if record.verdict is Verdict.DIVERGED]
    assert {record.cause for record in records} == {str(DIVISION)}
    told = read_explanations(result.directory)[0].explanation
    assert told == explain(told.cell, told.edge)
    assert any(told.cause in record.signature for record in records)
    assert f"    {told.sentence}" in list(summary(result.directory).lines())
    assert told.cause in write_report(result.directory).read_text()
