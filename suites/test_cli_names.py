"""`parity list` and `parity doctor`: what there is, here and at all."""

from __future__ import annotations

import pytest
import torch

from parity.matrix import plan
from suites.cli_runs import facts, refused, told


@pytest.mark.parametrize("kind", ["axes", "cells", "lanes", "edges", "backends", "presets", "stages", "capabilities"])
def test_lists_say_the_same_in_text_and_json(kind: str) -> None:
    few = ("--select", "preset=int4_weight_only", "--select", "op=embedding")
    rows = facts("list", kind, *few)["rows"]
    header, *lines = told("list", kind, *few).splitlines()
    assert header.split()[0] in rows[0]
    assert len(lines) == len(rows)
    for row, line in zip(rows, lines, strict=True):
        assert all(value in line for value in row.values())


def test_list_of_cells_is_the_plan_up_to_the_limit() -> None:
    said = facts("list", "cells", "--select", "dtype=bf16", "--limit", "3")
    cells = plan("premerge", select={"dtype": ("bf16",)}).cells
    assert [row["cell"] for row in said["rows"]] == [cell.id for cell in cells[:3]]
    assert said["more"] == len(cells) - 3
    assert told("list", "cells", "--limit", "0").splitlines()[-1].startswith("... and ")


def test_list_of_lanes_says_what_cannot_run_here() -> None:
    lanes = {row["lane"]: row["here"] for row in facts("list", "lanes")["rows"]}
    assert lanes["engine:ptq"] == "runs here"
    assert lanes["engine:ptq:mps"] == "no mps device"


def test_list_of_something_else_is_refused() -> None:
    assert "there is no list of 'rows'; there are lists of axes, cells, " in refused("list", "rows")


def test_doctor_is_content_and_names_what_is_missing() -> None:
    said = facts("doctor")
    assert said["sound"]
    values = {(fact["topic"], fact["name"]): fact["value"] for fact in said["facts"]}
    assert values["versions", "torch"] == torch.__version__
    assert values["packages", "quant"] == "ours"
    assert values["devices", "mps"] == "no mps device"
    assert values["setting", "flush_to_zero"] == "False"
    assert values["backends", "engine"].startswith("runs here")
    text = told("doctor")
    assert all(fact["value"] in text for fact in said["facts"])


def test_doctor_exits_2_where_subnormals_are_flushed() -> None:
    if not torch.set_flush_denormal(True):
        pytest.skip("this processor cannot flush subnormals")
    try:
        text = told("doctor", code=2)
    finally:
        torch.set_flush_denormal(False)
    assert "Problem: float32 arithmetic makes zero of subnormals" in text


def test_an_error_of_our_own_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken() -> None:
        raise RuntimeError("a bug")

    monkeypatch.setattr("parity.doctor.doctor", broken)
    monkeypatch.delenv("PARITY_TRACEBACK", raising=False)
    said = refused("doctor", code=3)
    assert (
        said == "parity: an error of parity's own, RuntimeError: a bug. PARITY_TRACEBACK=1 shows where it was raised.\n"
    )
