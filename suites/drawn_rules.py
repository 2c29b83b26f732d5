"""Rules drawn at random from a seed, and the three functions that carry them out, answering over a pipe.

`python -m suites.drawn_rules SEED` draws the rules of a seed in a process of its own and answers calls on stdin with
results on stdout: who asks sees three functions and nothing else. Boxes know what they chose last, as a stateful
backend may, so that rules that read the scale before its rounding have something to read.
"""

from __future__ import annotations

import pickle
import random
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

import quant
from parity.backends.functions import FunctionsBackend, backend_from_functions
from parity.bits import same_storage
from quant import QParams, Quantized, Rules
from quant.rule_sets import ENGINE
from quant.rules import enumeration_of
from quant.scheme import ResolvedScheme

AWAY = (1, 3, 10)  # fields in which seeds 0, 1, 2, 3, ... are away from the engine, in turn


def drawn_rules(seed: int) -> Rules:
    """The engine's rules with 1, 3 or 10 fields at another value; drawn again until they are legal."""
    rng = random.Random(seed)
    while True:
        fields = rng.sample(Rules.decisions(), AWAY[seed % len(AWAY)])
        try:
            return ENGINE.with_values(**{field: rng.choice(_others(field)) for field in fields})
        except ValueError:
            continue


def _others(field: str) -> list[str]:
    return [str(member) for member in enumeration_of(Rules, field) if member != getattr(ENGINE, field)]


class Box:
    """The engine's path under hidden rules."""

    def __init__(self, rules: Rules) -> None:
        self.rules = rules
        self.last: QParams | None = None

    def choose_qparams(self, x: Tensor, scheme: ResolvedScheme) -> tuple[Tensor, Tensor | None]:
        self.last = quant.choose_qparams(x, replace(scheme, rules=self.rules))
        return self.last.scale, self.last.zero_point

    def quantize(self, x: Tensor, scale: Tensor, zero_point: Tensor | None, scheme: ResolvedScheme) -> Tensor:
        return quant.quantize(x, self._qparams(scale, zero_point, scheme)).codes

    def dequantize(
        self, codes: Tensor, scale: Tensor, zero_point: Tensor | None, scheme: ResolvedScheme, dtype: torch.dtype
    ) -> Tensor:
        qparams = self._qparams(scale, zero_point, scheme)
        return quant.dequantize(Quantized(codes=codes, qparams=qparams), dtype)

    def _qparams(self, scale: Tensor, zero_point: Tensor | None, scheme: ResolvedScheme) -> QParams:
        own = replace(scheme, rules=self.rules)
        if self.last is not None and same_storage(scale, self.last.scale) and _same(zero_point, self.last.zero_point):
            return replace(self.last, scheme=own)
        return QParams(scale=scale, zero_point=zero_point, scheme=own)


def _same(a: Tensor | None, b: Tensor | None) -> bool:
    return a is b or (a is not None and b is not None and same_storage(a, b))


@contextmanager
def behind_a_pipe(seed: int) -> Iterator[FunctionsBackend]:
    """The box of a seed's rules in another process."""
    command = [sys.executable, "-m", "suites.drawn_rules", str(seed)]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=Path(__file__).resolve().parent.parent
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None

        def call(name: str, *arguments: Any) -> Any:
            pickle.dump((name, arguments), process.stdin)
            process.stdin.flush()
            answered, value = pickle.load(process.stdout)
            if not answered:
                raise RuntimeError(value)
            return value

        yield backend_from_functions(
            "behind_a_pipe",
            choose_qparams=lambda *arguments: call("choose_qparams", *arguments),
            quantize=lambda *arguments: call("quantize", *arguments),
            dequantize=lambda *arguments: call("dequantize", *arguments),
        )
        process.stdin.close()


def answer_calls(seed: int) -> None:
    """Answer until stdin ends."""
    torch.set_num_threads(1)
    box = Box(drawn_rules(seed))
    while True:
        try:
            name, arguments = pickle.load(sys.stdin.buffer)
        except EOFError:
            return
        try:
            answer = (True, getattr(box, name)(*arguments))
        except ValueError as error:
            answer = (False, str(error))
        pickle.dump(answer, sys.stdout.buffer)
        sys.stdout.buffer.flush()


if __name__ == "__main__":
    answer_calls(int(sys.argv[1]))
