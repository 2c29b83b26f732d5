"""What `parity.fingerprint` finds of the 300 drawn rules, one JSON line a seed: printed, wrong, tellable, found.

`python -m suites.fingerprint_figures FIRST LAST [WORKERS] > FILE` takes the seeds FIRST to LAST - 1 and writes each
line as its seed ends. FIGURES holds those of all 300, below a line that says where they were measured.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterable
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict, dataclass
from pathlib import Path

import torch

import parity
from parity.fingerprint import Fingerprint
from quant import Rules
from suites.drawn_rules import AWAY, behind_a_pipe, drawn_rules
from suites.tellable import tellable

SEEDS = 300
FIGURES = Path(__file__).parent / "golden" / "fingerprints.jsonl"


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """One seed: `missed` are the fields that held-out inputs tell and the fingerprint did not find."""

    seed: int
    away: int
    printed: int
    wrong: dict[str, tuple[str, str]]
    tellable: int
    missed: tuple[str, ...]
    unexplained: tuple[str, ...]
    asked: int
    refused: int
    seconds: float

    @classmethod
    def of(cls, seed: int) -> Figures:
        """The rules of a seed, in a process of their own, as three functions."""
        torch.set_num_threads(1)
        rules = drawn_rules(seed)
        with behind_a_pipe(seed) as box:
            started = time.perf_counter()
            found = parity.fingerprint(box, evidence=False)
            seconds = time.perf_counter() - started
        told = tellable(rules)
        return cls(
            seed=seed,
            away=AWAY[seed % len(AWAY)],
            printed=len(found.values),
            wrong=wrong(found, rules),
            tellable=len(told),
            missed=tuple(sorted(told - found.values.keys())),
            unexplained=found.unexplained,
            asked=found.asked,
            refused=found.refused,
            seconds=round(seconds, 1),
        )


def wrong(found: Fingerprint, rules: Rules) -> dict[str, tuple[str, str]]:
    """(printed, true) of every value that is printed and not so."""
    return {
        name: (value, str(getattr(rules, name)))
        for name, value in found.values.items()
        if value != getattr(rules, name)
    }


def found_share(figures: Iterable[Figures]) -> float:
    """Found of tellable decisions, over all seeds together."""
    every = list(figures)
    told = sum(each.tellable for each in every)
    return 1 - sum(len(each.missed) for each in every) / told


def read_figures(file: Path) -> tuple[dict[str, str], list[Figures]]:
    """(where they were measured, the figures)."""
    environment, *rows = map(json.loads, file.read_text().splitlines())
    return environment, [Figures(**row) for row in rows]


if __name__ == "__main__":
    first, last, workers = (int(text) for text in (*sys.argv[1:], "1")[:3])
    with ProcessPoolExecutor(workers) as pool:
        for done in as_completed(pool.submit(Figures.of, seed) for seed in range(first, last)):
            print(json.dumps(asdict(done.result())), flush=True)
