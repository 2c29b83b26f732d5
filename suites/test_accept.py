"""Rows are written whole or not at all, describe what they were written for and nothing else, and never in CI."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from parity.accept import where_of
from parity.accepted import parse_accepted, read_accepted
from parity.gate.gate import gate
from parity.ledger import LedgerError, read_ledger
from parity.recording import axis_values
from parity.settling import Settling
from parity.signature import Signature
from parity.verdicts import Verdict
from suites.cli_runs import own_folder, refused, told
from suites.gate_runs import CELLS, parted, with_edges, written
from suites.plain_records import lane, pair

WHY = ("--reason", 'because "so"', "--owner", "numerics", "--expires", "2099-01-31")
MOVED_CODES = ("0123456789abcdef", "00000000000000fe")


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.delenv("CI", raising=False)
    with own_folder(tmp_path):
        yield


def test_rows_of_a_run_excuse_its_divergences_and_no_others(tmp_path: Path) -> None:
    diverging = parted("dtype:bf16")
    written(tmp_path / "run", edge_records=with_edges(diverging))
    said = told("accept", "run", *WHY, "--into", "ledger.toml")
    assert said.splitlines()[-1] == "1 row written to ledger.toml; look at them, then commit."
    (row,) = read_ledger(Path("ledger.toml"))
    assert (row.reason, row.owner, row.where) == ('because "so"', "numerics", (("dtype", ("bf16",)),))
    settling = Settling([row], values_of=axis_values, today=date(2026, 1, 31))
    assert settling.excuse(diverging).verdict is Verdict.KNOWN
    assert settling.excuse(parted("dtype:fp16")).verdict is Verdict.DIVERGED
    assert settling.excuse(parted("dtype:bf16", "weight.scale")).verdict is Verdict.DIVERGED
    assert settling.excuse(parted("dtype:bf16", ulp=9)).verdict is Verdict.DIVERGED


def test_a_second_row_of_one_edge_and_stage_has_an_id_of_its_own(tmp_path: Path) -> None:
    written(tmp_path / "run", edge_records=with_edges(parted("dtype:bf16"), parted("dtype:fp16", ulp=9)))
    told("accept", "run", *WHY, "--into", "ledger.toml")
    ids = [row.id for row in read_ledger(Path("ledger.toml"))]
    assert ids == ["engine-ptq-engine-qat-convert-weight-codes", "engine-ptq-engine-qat-convert-weight-codes-2"]
    assert Signature.parse(parted("dtype:bf16").signature).first_stage == "weight.codes"


def test_moves_of_a_gate_are_accepted_by_their_digest(tmp_path: Path) -> None:
    before = written(tmp_path / "before")
    moved = [lane(cell, digests=MOVED_CODES) if cell == CELLS[1] else lane(cell) for cell in CELLS]
    after = written(tmp_path / "after", lane_records=moved)
    red = gate(before, after)
    Path("gate.json").write_text(json.dumps(red.to_json()))
    told("accept", "--gate", "gate.json", *WHY, "--into", "accepted.toml")
    rows = read_accepted(Path("accepted.toml"), today=date(2026, 1, 31))
    assert gate(before, after, accepted=rows).moves == ()
    assert read_accepted(Path("accepted.toml"), today=date(2099, 2, 1)) == ()
    further = written(tmp_path / "further", lane_records=[lane(cell, digests=MOVED_CODES) for cell in CELLS])
    assert gate(before, further, accepted=rows).moves != ()


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("run",), "a reason and an owner"),
        (("run", *WHY[:4]), "--expires is ''; it must be a day"),
        (("run", *WHY[:4], "--expires", "2020-01-01"), "name a later day"),
        (WHY, "name a run"),
        (("run", "--gate", "gate.json", *WHY), "name a run"),
    ],
)
def test_what_cannot_be_accepted_is_told_and_nothing_is_written(
    tmp_path: Path, arguments: tuple[str, ...], sentence: str
) -> None:
    written(tmp_path / "run", edge_records=with_edges(parted("default")))
    if "--expires" not in arguments and len(arguments) == 1:
        arguments = (*arguments, "--expires", "2099-01-31")
    assert sentence in refused("accept", *arguments, "--into", "ledger.toml")
    assert not Path("ledger.toml").exists()


def test_nothing_is_accepted_in_ci(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written(tmp_path / "run", edge_records=with_edges(parted("default")))
    monkeypatch.setenv("CI", "true")
    assert "nothing is accepted where CI is set" in refused("accept", "run", *WHY, "--into", "ledger.toml")
    assert not Path("ledger.toml").exists()


def test_green_and_unsteady_runs_have_nothing_to_accept(tmp_path: Path) -> None:
    written(tmp_path / "green")
    assert "has no new divergence" in refused("accept", "green", *WHY, "--into", "ledger.toml")
    unsteady = pair("default", Verdict.NONDETERMINISTIC)
    written(tmp_path / "unsteady", edge_records=with_edges(unsteady, parted("dtype:bf16")))
    assert "is not the same twice" in refused("accept", "unsteady", *WHY, "--into", "ledger.toml")


@pytest.mark.parametrize(
    ("gate_facts", "sentence"),
    [
        ({"holes": ["a lane is gone"], "moves": []}, "the gate is incomplete (a lane is gone)"),
        ({"holes": [], "moves": []}, "no bit moved"),
    ],
)
def test_a_gate_that_saw_too_little_accepts_nothing(gate_facts: dict[str, Any], sentence: str) -> None:
    Path("gate.json").write_text(json.dumps(gate_facts))
    assert sentence in refused("accept", "--gate", "gate.json", *WHY, "--into", "accepted.toml")


def test_where_holds_what_the_cells_share_and_others_have_not() -> None:
    others = ["default", "dtype:bf16", "dtype:fp16,family:random", "dtype:bf16,family:random"]
    assert where_of(["dtype:bf16", "dtype:bf16,family:random"], others) == {"dtype": ["bf16"]}
    assert where_of(others, others) == {}


def test_a_file_of_accepted_moves_is_strict() -> None:
    row = '[[move]]\nlane = "engine:ptq"\nstage = "output"\ncells = 1\ndigest = "00"\nreason = "r"\nowner = "o"\n'
    whole = row + 'link = ""\ndate = 2026-01-31\nexpires = 2026-02-28\n'
    (accepted,) = parse_accepted(whole)
    assert replace(accepted, cells=2) != accepted
    for text, sentence in (
        (row, "must have the keys lane, stage, cells"),
        (whole.replace("cells = 1", 'cells = "1"'), "cells is '1'; it must be int"),
        (whole.replace('"r"', '" "'), "has no reason or no owner"),
        ("[[row]]\n", "may hold"),
        ("move = 1", "may hold"),
        ("=", "are not TOML"),
    ):
        with pytest.raises(LedgerError, match=sentence):
            parse_accepted(text)
