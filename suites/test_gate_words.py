"""Markdown, annotations and JUnit of a gate: within their limits, escaped, and with the gate's own numbers."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import pytest

from parity.gate.changes import Kind
from parity.gate.gate import Gate, gate
from parity.gate.github import MOST, workflow_commands
from parity.gate.junit import junit
from parity.gate.markdown import LINES, markdown
from parity.gate.measured import Measured
from parity.gate.rule_moves import Flipped, RuleMove, declared_moves
from parity.signature import Signature
from suites.cli_runs import facts, own_folder, refused, told
from suites.gate_runs import CELLS, parted, with_edges, written
from suites.plain_records import EDGE, lane, manifest
from suites.report_runs import HOSTILE

MOVED_CODES = ("0123456789abcdef", "00000000000000fe")
RULE = RuleMove(
    flips=(Flipped("engine", "code_division", "divide", "reciprocal_multiply"),), declared=True, tried=8, confirmed=8
)


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.delenv("GITHUB_ACTIONS", raising=False)
    with own_folder(tmp_path):
        yield


@pytest.fixture
def red(tmp_path: Path) -> Gate:
    """One lane moved in one cell, and one pair diverges there."""
    moved = [lane(cell, digests=MOVED_CODES) if cell == "dtype:bf16" else lane(cell) for cell in CELLS]
    found = gate(
        written(tmp_path / "before"),
        written(
            tmp_path / "after",
            lane_records=moved,
            edge_records=with_edges(parted("dtype:bf16", cause="code_division: divide against reciprocal_multiply")),
        ),
    )
    measured = Measured(
        cell="dtype:bf16",
        lane="engine:ptq",
        stage="output",
        n_different=12,
        n_total=2048,
        max_ulp=1,
        sqnr_db=51.24,
    )
    return replace(found, rules=(RULE,), measured=(measured,))


def test_markdown_says_what_moved_how_far_why_and_what_diverges(red: Gate) -> None:
    said = markdown(red)
    assert said.startswith("## parity: red, diverged\n")
    assert "reproduces 8 of 8 samples" in said
    assert "Outputs moved: 0 of 3 (0 %). Cells: 3 common, 0 new, 0 gone." in said
    assert "output: 12 of 2,048 elements (0.59 %), at most 1 ulp, SQNR 51.2 dB" in said
    assert "weight.codes first; explained by code_division: divide against reciprocal_multiply" in said
    assert said.index("Moved bits") < said.index("Divergences between lanes")


def test_a_green_gate_says_so_in_a_few_lines(tmp_path: Path) -> None:
    said = markdown(gate(written(tmp_path / "before"), written(tmp_path / "after")))
    assert said.startswith("## parity: green, parity\n")
    assert len(said.splitlines()) < 12


def hostile(red: Gate) -> Gate:
    """More of everything than there is room for, and every text out to be markup."""
    parts = Signature.parse(red.changes[0].signature)
    changes = [
        replace(
            red.changes[0], kind=kind, signature=str(replace(parts, cause=text.replace("|", ""), edge=EDGE)), cell=text
        )
        for kind in (Kind.NEW, Kind.WORSENED, Kind.FIXED)
        for text in HOSTILE
    ]
    moves = [replace(red.moves[0], lane=text + str(i), cells=(text,)) for text in HOSTILE for i in range(5)]
    rule = replace(RULE, flips=(Flipped(HOSTILE[0], HOSTILE[1], HOSTILE[2], HOSTILE[3]),))
    return replace(
        red,
        moves=tuple(moves),
        changes=tuple(changes),
        holes=(*HOSTILE, "a\nb|c`d`"),
        differs=HOSTILE,
        rules=(rule,) * 9,
        subject=HOSTILE[0],
    )


def test_markdown_stays_within_its_lines_whatever_there_is_to_say(red: Gate) -> None:
    said = markdown(hostile(red))
    lines = said.splitlines()
    assert len(lines) <= LINES
    assert "and 24 more" in said
    widths = {line.replace("\\|", "").count("|") for line in lines if line.startswith("| ")}
    assert widths <= {6, 7}, "no text adds a cell to a table"


def test_markdown_holds_no_markup_from_a_record(red: Gate) -> None:
    for line in markdown(hostile(red)).splitlines():
        outside = line.replace("\\`", "").split("`")[::2]
        assert not any("<" in text for text in outside), line


def test_annotations_are_few_and_each_is_one_line(red: Gate) -> None:
    said = workflow_commands(hostile(red))
    assert len(said) == MOST + 1
    assert all(line.startswith(("::error title=", "::notice title=")) and "\n" not in line for line in said)
    assert "a%0Ab|c`d`" in "".join(workflow_commands(replace(red, holes=("a\nb|c`d`",))))
    assert workflow_commands(red)[0] == (
        "::error title=parity%3A a rule moved::engine.code_division: divide before, reciprocal_multiply now "
        "(declared; reproduces 8 of 8 samples)"
    )
    assert workflow_commands(red)[-1].startswith("::notice title=parity gate::bits moved first at weight.codes")


def test_junit_counts_what_it_holds_and_is_never_empty(red: Gate, tmp_path: Path) -> None:
    suite = ElementTree.fromstring(junit(hostile(red)))
    assert int(suite.get("tests", "")) == len(suite.findall("testcase"))
    assert int(suite.get("failures", "")) == len(suite.findall("testcase/failure")) > 0
    assert int(suite.get("errors", "")) == len(suite.findall("testcase/error")) == len(HOSTILE) + 1
    green = ElementTree.fromstring(junit(gate(written(tmp_path / "a"), written(tmp_path / "b"))))
    assert (green.get("tests"), green.get("failures"), green.get("errors")) == ("1", "0", "0")
    control = ElementTree.fromstring(junit(replace(red, holes=("\x00\x1b[31m",))))
    assert control.find("testcase/error") is not None


def test_declared_rules_are_compared_field_by_field() -> None:
    before = {"engine": {"a": "1", "b": "2"}, "gone": {"a": "1"}}
    after = {"engine": {"a": "1", "b": "3", "c": "4"}, "new": {"a": "1"}}
    assert declared_moves(before, after) == (Flipped("engine", "b", "2", "3"),)


# --- the command ----------------------------------------------------------------------------------------------------


def test_the_command_writes_what_it_is_told_to_and_ends_with_the_code(tmp_path: Path) -> None:
    written(tmp_path / "before")
    moved = [lane(cell, digests=MOVED_CODES) for cell in CELLS]
    written(tmp_path / "after", lane_records=moved)
    runs = ("--baseline", "before", "--candidate", "after")
    said = told("gate", *runs, "--markdown", "gate.md", "--junit", "gate.xml", "--annotate", code=1)
    assert "bits moved first at weight.codes, in 3 of 3 lane records" in said
    assert "::error title=parity%3A weight.codes moved::engine:ptq" in said
    assert Path("gate.md").read_text().startswith("## parity: red")
    assert ElementTree.parse("gate.xml").getroot().get("failures") == "1"
    assert facts("gate", *runs, code=1)["moves"][0]["example"] == "default"
    assert "::error" not in told("gate", *runs, code=1)


def test_annotations_are_there_under_github_actions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    written(tmp_path / "before")
    written(tmp_path / "after")
    runs = ("--baseline", "before", "--candidate", "after")
    assert "::notice title=parity gate::no bit moved" in told("gate", *runs)
    assert "::notice" not in told("gate", *runs, "--no-annotate")
    json.loads(told("gate", *runs, "--json"))


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ((), "name two runs"),
        (("--baseline", "run"), "name two runs"),
        (("--baseline", "run", "--candidate", "none"), "none is no run directory: it has no manifest.json."),
        (("--baseline", "none", "--candidate", "run"), "none is no run directory"),
        (("--baseline", "run", "--candidate", "run"), "are one run"),
        (("--baseline", "run", "--candidate", "other", "--lanes", "engine:ptq"), "two runs are there already"),
        (("--against", "HEAD", "--baseline", "run"), "goes with no run"),
        (("--against", "no-such-revision"), "is no revision of"),
        (("--against", "--help-me"), "is no revision of"),
        (("--baseline", "run", "--candidate", "schema"), "its schema is 99"),
    ],
)
def test_what_cannot_be_gated_is_usage_and_never_green(
    tmp_path: Path, arguments: tuple[str, ...], sentence: str
) -> None:
    written(tmp_path / "run")
    for name in ("other", "schema"):
        written(tmp_path / name, plan=manifest(CELLS))
    path = tmp_path / "schema" / "manifest.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "schema": 99}))
    assert sentence in " ".join(refused("gate", *arguments).split())
