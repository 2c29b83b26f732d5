"""Every decision at each of its other values, in one flow and in all of them, is caught or proved equivalent."""

import json
from dataclasses import replace
from importlib import import_module
from pathlib import Path

import pytest

from parity.matrix import plan_named
from parity.mutation import COMMITTED, FILE_NAME, Mutation, read_mutations, score, write_mutations
from parity.verdicts import Verdict
from parity.whole_file import StoreError
from quant import ProductRules, Rules
from reports.render import write_report
from suites.meta.catching import ACTS_IN, CATCHING, EVERYWHERE
from suites.meta.equivalent import EQUIVALENT
from suites.meta.mutants import GROUNDS, MUTANTS, Mutant
from suites.meta.planting import Place, seen
from suites.meta.score import mutation_of, policies
from suites.plain_records import pair
from suites.report_runs import HOSTILE, Elements, write

SCORE = read_mutations(COMMITTED)
PLACES = sorted({place for places in CATCHING.values() for place in places})


# --- mutants of the rules -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("mutant", MUTANTS, ids=[mutant.name for mutant in MUTANTS])
def test_a_mutant_is_caught_in_every_flow_or_proved_equivalent(mutant: Mutant) -> None:
    """As the committed score has it: `python -m suites.meta --write` measures it anew."""
    found = mutation_of(mutant)
    assert not found.survives
    assert bool(found.proof) == (mutant.name in EQUIVALENT)
    assert found in SCORE


@pytest.mark.nightly
@pytest.mark.parametrize("mutant", MUTANTS, ids=[mutant.name for mutant in MUTANTS])
def test_a_mutant_is_never_seen_in_a_flow_in_which_its_field_does_not_act(mutant: Mutant) -> None:
    """On every place there is; what is called equivalent is seen on none of them."""
    acts_in = frozenset[object]() if mutant.name in EQUIVALENT else ACTS_IN.get(mutant.field, EVERYWHERE)
    assert not [place for place in PLACES if not seen(mutant, place) <= acts_in]


def test_every_field_has_mutants_and_places() -> None:
    assert {mutant.field for mutant in MUTANTS} == {*Rules.decisions(), *ProductRules.decisions()} == {*CATCHING}
    assert {place.ground for place in PLACES} <= {*GROUNDS}
    assert {*EQUIVALENT} <= {mutant.name for mutant in MUTANTS}


def test_the_value_a_ground_has_is_no_mutant_on_it() -> None:
    (mutant,) = (mutant for mutant in MUTANTS if mutant.name == "code_division=divide")
    assert seen(mutant, Place("engine", "default")) == frozenset()
    assert seen(mutant, Place("straight_through", "default")) == EVERYWHERE


# --- the score ----------------------------------------------------------------------------------------------------


def test_the_committed_score_holds_every_mutant_and_no_other() -> None:
    assert [row.name for row in SCORE] == [*(mutant.name for mutant in MUTANTS), *(row.name for row in policies())]
    assert {*policies()} <= {*SCORE}
    assert not any(row.survives for row in SCORE)


CAUGHT = Mutation(kind="rules", name="code_division=divide", caught_by="engine: default")
EQUAL = Mutation(kind="rules", name="code_clamp=input_limits", proof="it raises")
SURVIVOR = Mutation(kind="judge", name="a kind judge")


def test_score_counts_what_is_caught_equivalent_and_neither() -> None:
    told = "1 of 3 mutants are caught, 1 are proved equivalent, 1 survive (rules 2, judge 1)."
    assert score([CAUGHT, EQUAL, SURVIVOR]) == told
    assert [row.survives for row in (CAUGHT, EQUAL, SURVIVOR)] == [False, False, True]


def test_rows_come_back_as_they_were_written(tmp_path: Path) -> None:
    assert read_mutations(tmp_path) == ()
    write_mutations(tmp_path, [CAUGHT, SURVIVOR])
    assert read_mutations(tmp_path) == (CAUGHT, SURVIVOR)
    (tmp_path / FILE_NAME).write_text('{"schema": 2, "rows": []}')
    with pytest.raises(StoreError, match="schema 2"):
        read_mutations(tmp_path)


def test_a_whole_run_takes_the_score_along(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    module = import_module("parity.run")  # parity.run is the function
    monkeypatch.setattr(module, "plan", lambda *arguments, **named: plan_named("premerge", ("op:embedding",)))
    monkeypatch.setattr(module, "detections", lambda cases: ())
    ledger = tmp_path / "ledger.toml"
    ledger.write_text("")
    module.run(out=tmp_path / "run", executor="inline", ledger=ledger)
    assert read_mutations(tmp_path / "run") == SCORE
    assert score(SCORE) in write_report(tmp_path / "run").read_text()


def test_page_shows_the_score_and_what_nothing_caught(tmp_path: Path) -> None:
    run = write(tmp_path / "run", [pair("default", Verdict.IDENTICAL)])
    assert "Mutants" not in write_report(run).read_text()
    hostile = [replace(EQUAL, kind=text, name=text, proof=text) for text in HOSTILE]
    write_mutations(run, [CAUGHT, SURVIVOR, *hostile])
    text = write_report(run).read_text()
    shown = " ".join(Elements(text).text.split())
    assert "1 of 9 mutants are caught, 7 are proved equivalent, 1 survive" in shown
    assert all(shown.index("a kind judge") < shown.rindex(" ".join(text.split())) for text in HOSTILE)
    assert "<img src=x" not in text
    assert len(json.loads((run / "report.json").read_text())["mutants"]) == 9
