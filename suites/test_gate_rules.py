"""A rule flipped in the one path: edges stay identical; the gate names stage and rule, and reproduces the bits."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest
from torch import Tensor

import parity.gate.declared
import quant.quotient
import quant.rule_sets
from parity.exit_codes import ExitCode
from parity.gate.code import Here
from parity.gate.evidence import rules_moved, stages_measured
from parity.gate.gate import Gate, gate
from parity.gate.rule_moves import Declared
from parity.run import run
from parity.schemes import _scheme
from parity.store import Run, load_run
from suites.cli_runs import own_folder

LANES = ("engine:ptq", "engine:qat_prepare", "engine:qat_convert")
CELLS = (
    "preset:intx_weight_only,dtype:bf16",
    "preset:intx_weight_only,dtype:bf16,family:random",
    "preset:intx_weight_only,dtype:bf16,scale:bf16,domain:int,eps:normal",
    "preset:intx_weight_only,dtype:bf16,scale:bf16,domain:int,eps:normal,family:random",
)


@contextmanager
def engine_rules(**values: str) -> Iterator[None]:
    """The engine's named set with other values, for everybody who asks for it."""
    sets = dict(quant.rule_sets.RULE_SETS)
    sets["engine"] = sets["engine"].with_values(**values)
    with pytest.MonkeyPatch.context() as patch:
        for module in (quant.rule_sets, parity.gate.declared):
            patch.setattr(module, "RULE_SETS", MappingProxyType(sets))
        _scheme.cache_clear()
        yield
    _scheme.cache_clear()


class With:
    """A revision whose engine set differs by these values: this process, with them in force while it answers."""

    def __init__(self, **values: str) -> None:
        self.values = values

    def declared(self) -> Declared:
        with engine_rules(**self.values):
            return Here().declared()

    def reproduced(self, request: Mapping[str, Any]) -> list[dict[str, Any]]:
        with engine_rules(**self.values):
            return Here().reproduced(request)

    def tensors(self, request: Mapping[str, Any]) -> Mapping[str, Tensor]:
        with engine_rules(**self.values):
            return Here().tensors(request)


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path) -> Iterator[None]:
    with own_folder(tmp_path):
        yield


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Run:
    out = tmp_path_factory.mktemp("gate") / "base"
    assert run(cells=CELLS, lanes=LANES, out=out, executor="inline").code is ExitCode.PARITY
    return load_run(out)


def candidate(base: Run, out: Path) -> Run:
    """The same cells with the base's aims, under whatever rules are in force."""
    assert run(cells=CELLS, lanes=LANES, out=out, inputs_of=base.directory, executor="inline").code is ExitCode.PARITY
    return load_run(out)


def gated(base: Run, after: Run) -> Gate:
    """The gate of two runs of this checkout, all of whose edges are identical."""
    found = gate(base, after)
    assert found.changes == ()
    assert found.holes == ()
    return found


@pytest.mark.parametrize(
    ("field", "before", "now", "stage"),
    [
        ("qparam_dtype", "float32", "input", "weight.scale"),
        ("code_division", "divide", "reciprocal_multiply", "weight.codes"),
    ],
)
def test_a_declared_rule_is_named_at_its_own_stage(
    base: Run, tmp_path: Path, field: str, before: str, now: str, stage: str
) -> None:
    with engine_rules(**{field: now}):
        after = candidate(base, tmp_path / "after")
    found = gated(base, after)
    assert found.code is ExitCode.DIVERGED
    assert {(move.stage, move.lane) for move in found.moves} == {(stage, lane) for lane in LANES}
    (rule,) = rules_moved(found, base, after, Here(), With(**{field: now}), LANES)
    assert rule.told.startswith(f"engine.{field}: {before} before, {now} now (declared; reproduces ")
    assert rule.confirmed == rule.tried > 0
    measured = stages_measured(found, base, Here(), With(**{field: now}), LANES)
    assert {each.stage for each in measured} == {stage, "output"}
    assert all(each.n_different for each in measured if each.stage == stage)


def test_a_rule_carried_out_otherwise_under_its_name_is_found_by_the_bits(
    base: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The candidate divides by reciprocal whatever is declared: in its code no rule helps, in the base's one does."""
    honest = quant.quotient.divide

    class Spoiled(Here):
        def reproduced(self, request: Mapping[str, Any]) -> list[dict[str, Any]]:
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(quant.quotient, "divide", by_reciprocal)
                return super().reproduced(request)

    def by_reciprocal(x: Tensor, y: Tensor) -> Tensor:
        return x * honest(y.new_ones(()), y)

    with monkeypatch.context() as patch:
        patch.setattr(quant.quotient, "divide", by_reciprocal)
        after = candidate(base, tmp_path / "after")
    found = gated(base, after)
    assert {move.stage for move in found.moves} == {"weight.codes"}
    (rule,) = rules_moved(found, base, after, Here(), Spoiled(), LANES)
    assert not rule.declared
    assert rule.confirmed == rule.tried > 0
    assert rule.flips[0].field in ("code_division", "reciprocal_dtype")


def test_the_same_code_moves_nothing(base: Run, tmp_path: Path) -> None:
    found = gated(base, candidate(base, tmp_path / "after"))
    assert (found.code, found.moves) == (ExitCode.PARITY, ())
