"""Code = a revision of parity that can be asked about its rules and its bits: this process, or another checkout's."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, Protocol

from parity.exit_codes import ExitCode
from parity.gate.rule_moves import Declared

if TYPE_CHECKING:
    from torch import Tensor

# A run that ends so has written what it saw; any other end is no run.
_RAN = (ExitCode.PARITY, ExitCode.DIVERGED, ExitCode.INCOMPLETE, ExitCode.LEDGER_STALE)


class Code(Protocol):
    """What a revision answers; requests are those of parity.gate.reproduce and parity.gate.stage_tensors."""

    def declared(self) -> Declared:
        """Its named rule sets; {} where it has none in the known place."""
        ...

    def reproduced(self, request: Mapping[str, Any]) -> list[dict[str, Any]]:
        """Which changes of a rule give the wanted digests; [] where it cannot be asked."""
        ...

    def tensors(self, request: Mapping[str, Any]) -> Mapping[str, Tensor]:
        """The stages of samples; {} where it cannot be asked."""
        ...


class Here:
    """The code of this process."""

    def declared(self) -> Declared:
        from parity.gate.declared import declared

        return declared()

    def reproduced(self, request: Mapping[str, Any]) -> list[dict[str, Any]]:
        import torch

        from parity.gate.reproduce import answer

        with torch.no_grad():
            return answer(request)

    def tensors(self, request: Mapping[str, Any]) -> Mapping[str, Tensor]:
        from parity.gate.stage_tensors import stage_tensors

        return stage_tensors(request)


@dataclass(frozen=True, slots=True)
class Checkout:
    """A folder that holds a revision of parity, run by this interpreter, a process for each question."""

    root: Path

    def python(self, *arguments: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
        """`python ARGUMENTS` with this checkout's packages in front of any other's; stderr goes where ours goes."""
        environment = {**os.environ, "PYTHONPATH": str(self.root)}
        command = [sys.executable, *arguments]
        return subprocess.run(
            command, cwd=self.root, env=environment, input=stdin, stdout=subprocess.PIPE, text=True, check=False
        )

    def parity(self, *arguments: str) -> ExitCode:
        """`parity ARGUMENTS` here. Raises ValueError when it ends in a way that leaves no run."""
        done = self.python("-m", "parity", *arguments)
        if done.returncode not in _RAN:
            told = f"`parity {arguments[0]}` ended with {done.returncode} in {self.root}"
            raise ValueError(f"{told}: see what it says above")
        return ExitCode(done.returncode)

    def declared(self) -> Declared:
        source = Path(__file__).with_name("declared.py").read_text(encoding="utf-8")
        done = self.python("-c", source)
        sets: Declared = {} if done.returncode else json.loads(done.stdout)
        return sets

    def reproduced(self, request: Mapping[str, Any]) -> list[dict[str, Any]]:
        done = self.python("-m", "parity.gate.reproduce", stdin=json.dumps(request))
        answer: list[dict[str, Any]] = [] if done.returncode else json.loads(done.stdout)
        return answer

    def tensors(self, request: Mapping[str, Any]) -> Mapping[str, Tensor]:
        from safetensors.torch import load_file

        with TemporaryDirectory(prefix="parity-gate-") as folder:
            out = Path(folder) / "stages.safetensors"
            asked = json.dumps({**request, "out": str(out)})
            if self.python("-m", "parity.gate.stage_tensors", stdin=asked).returncode:
                return {}
            return {name: tensor.clone() for name, tensor in load_file(out).items()}
