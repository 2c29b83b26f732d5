"""`parity gate --against REV` in a repository of its own: a flipped rule is named with its stage; no move, no red."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from parity.foreign import HOME

PACKAGES = ("kernels", "quant", "parity", "reports")
pytestmark = pytest.mark.nightly  # a dozen processes each

ENGINE = "engine:ptq,engine:qat_prepare,engine:qat_convert"
FLOWS = set(ENGINE.split(","))
FEW = (
    "preset=intx_weight_only",
    "op=linear",
    "dtype=bf16",
    "device=cpu",
    "family=directed,random",
    "scale=preset,bf16",
)
FEW += ("domain=preset,int", "eps=preset,normal")


class Repository:
    """This checkout's packages under a git of their own, with one commit of them as they are."""

    def __init__(self, root: Path) -> None:
        self.root = root
        for package in PACKAGES:
            shutil.copytree(HOME / package, root / package, ignore=shutil.ignore_patterns("__pycache__"))
        (root / ".gitignore").write_text("__pycache__/\nruns/\n")
        self.git("init", "--quiet")
        self.commit()

    def git(self, *arguments: str) -> None:
        named = ("-c", "user.name=parity", "-c", "user.email=parity@example.org")
        subprocess.run(["git", *named, *arguments], cwd=self.root, check=True, capture_output=True)

    def commit(self) -> None:
        self.git("add", "--all")
        self.git("commit", "--quiet", "--allow-empty", "--message", "a commit")

    def change(self, path: str, before: str, after: str) -> None:
        """One text of a file replaced by another, and committed."""
        text = (self.root / path).read_text()
        assert before in text, f"{path} no longer holds what this test changes: {before}"
        (self.root / path).write_text(text.replace(before, after))
        self.commit()

    def gated(self, code: int, *arguments: str) -> dict[str, Any]:
        """What `parity gate --against HEAD~1` says as JSON, ending with this code."""
        select = [part for each in FEW for part in ("--select", each)]
        command = [sys.executable, "-m", "parity", "gate", "--against", "HEAD~1", "--lanes", ENGINE, "--json"]
        environment = {**os.environ, "PYTHONPATH": str(self.root), "OMP_NUM_THREADS": "1"}
        done = subprocess.run(
            [*command, *select, *arguments], cwd=self.root, env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == code, (done.returncode, done.stdout, done.stderr)
        told: dict[str, Any] = json.loads(done.stdout)
        return told


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    if shutil.which("git") is None:
        pytest.skip("unrun: git is not installed")
    return Repository(tmp_path / "repository")


def test_a_rule_flipped_in_the_one_path_is_named_with_its_stage_though_every_edge_is_identical(
    repository: Repository,
) -> None:
    repository.change("quant/rule_sets.py", 'qparam_dtype="float32",', 'qparam_dtype="input",')
    told = repository.gated(1)
    assert {(move["stage"], move["lane"]) for move in told["moves"]} == {("weight.scale", lane) for lane in FLOWS}
    assert told["changes"] == []
    (rule,) = (
        rule for rule in told["rules"] if rule["told"].startswith("engine.qparam_dtype: float32 before, input now")
    )
    assert rule["confirmed"] == rule["tried"] > 0
    assert {each["stage"] for each in told["measured"]} == {"weight.scale", "output"}
    assert (repository.root / ".git" / "worktrees").exists() is False, "the base's worktree is gone"


def test_a_rule_carried_out_otherwise_than_declared_is_found_by_the_bits_alone(repository: Repository) -> None:
    repository.change("quant/quotient.py", "is d.CodeDivision.DIVIDE", "is d.CodeDivision.RECIPROCAL_MULTIPLY")
    told = repository.gated(1)
    assert {move["stage"] for move in told["moves"]} == {"weight.codes"}
    assert any("not declared" in rule["told"] and rule["confirmed"] == rule["tried"] for rule in told["rules"])


def test_a_rule_flipped_in_one_flow_is_one_lanes_move_and_a_new_divergence(repository: Repository) -> None:
    repository.change(
        "parity/backends/engine.py",
        "        if lane.flow is Flow.PTQ:\n",
        "        if lane.flow is Flow.PTQ:\n"
        "            from dataclasses import replace\n"
        "            rules = scheme.weight.rules.with_values(code_division='reciprocal_multiply')\n"
        "            scheme = replace(scheme, weight=replace(scheme.weight, rules=rules))\n",
    )
    told = repository.gated(1)
    assert {(move["stage"], move["lane"]) for move in told["moves"]} == {("weight.codes", "engine:ptq")}
    assert {change["kind"] for change in told["changes"]} == {"new"}


def test_a_refactor_that_moves_no_bit_is_green(repository: Repository) -> None:
    repository.change("quant/quotient.py", "_origin(", "_value_of_code_zero(")
    told = repository.gated(0)
    assert (told["moves"], told["rules"], told["changes"], told["holes"]) == ([], [], [], [])
    assert told["cells"] == {"common": told["cells"]["common"], "new": 0, "gone": 0}
