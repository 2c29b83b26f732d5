"""A few cells run through the command line, and a defect that can be planted in one flow: what the cli suites share."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from typer.testing import CliRunner, Result

from parity.backends.engine import EngineBackend
from parity.cli.app import app
from parity.lanes import Flow, Lane
from parity.trace import Stage, Trace
from quant import QuantScheme

ENGINE = "engine:ptq,engine:qat_prepare,engine:qat_convert"
FEW = (
    "--select",
    "preset=intx_weight_only",
    "--select",
    "dtype=bf16",
    "--select",
    "op=linear",
    "--select",
    "device=cpu",
)
FEW += ("--select", "family=integers,zeros", "--lanes", ENGINE, "--executor", "inline")


def parity(*arguments: str | Path) -> Result:
    """The command in this process, as the shell would start it."""
    return CliRunner().invoke(app, [str(argument) for argument in arguments], prog_name="parity")


def told(*arguments: str | Path, code: int = 0) -> str:
    """stdout of a command that ends with this code."""
    done = parity(*arguments)
    assert done.exit_code == code, (done.exit_code, done.stdout, done.stderr)
    return done.stdout


def facts(*arguments: str | Path, code: int = 0) -> Any:
    """The one JSON object that a command prints."""
    return json.loads(told(*arguments, "--json", code=code))


def refused(*arguments: str | Path, code: int = 2) -> str:
    """stderr of a command that fails with this code and prints no traceback."""
    done = parity(*arguments)
    assert done.exit_code == code, (done.exit_code, done.stdout, done.stderr)
    assert "Traceback" not in done.stderr
    return done.stderr


@contextmanager
def own_folder(folder: Path) -> Iterator[None]:
    """./runs is that of `folder`, and a command that sets the threads of torch does not do so for the next test."""
    threads = torch.get_num_threads()
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        yield
    torch.set_num_threads(threads)


@contextmanager
def planted_defect() -> Iterator[None]:
    """QAT-convert stores one code that differs: weight.codes[2, 5]."""
    honest = EngineBackend.trace

    def broken(
        self: EngineBackend, lane: Lane, layer: nn.Module, x: Tensor, scheme: QuantScheme, steps: int = 0
    ) -> Trace:
        trace = honest(self, lane, layer, x, scheme, steps)
        if lane.flow is not Flow.QAT_CONVERT:
            return trace
        codes = trace["weight.codes"].tensor.clone()
        codes[2, 5] ^= 1
        return Trace(
            Stage(name=s.name, tensor=codes, computed=s.computed) if s.name == "weight.codes" else s for s in trace
        )

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(EngineBackend, "trace", broken)
        yield
