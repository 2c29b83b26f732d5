"""Three-flow cells a second, records written, one thread: stacked, and through the modules.

    python -m benchmarks.rates [--seconds 5]

x 8x64, W 32x64, groups of 32, int8 activations per token; each family of inputs and dtype beside the others, in turn,
so that a slow spell of the machine touches all of them. A cell is its inputs, three flows, nine stages a flow hashed
and compared, and its share of a parquet file. The ratio of the two evaluations is steadier than either figure.
"""

import argparse
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import median

import torch

from parity.cells import Cell, cell_at
from parity.edges import triangle
from parity.environment import environment
from parity.evaluate import Evaluated, evaluate
from parity.manifest import Manifest
from parity.store import RunWriter

STACK = 64
ROUNDS = 5


def main() -> None:
    """Print a row for each family and dtype."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=5.0, help="for each figure, over all rounds")
    seconds = parser.parse_args().seconds / ROUNDS
    torch.set_num_threads(1)
    rows = [(family, dtype) for family in ("random", "directed") for dtype in ("fp32", "bf16")]
    measured: dict[tuple[str, str, bool], list[float]] = {}
    with tempfile.TemporaryDirectory() as folder:
        for round_ in range(-1, ROUNDS):  # the first warms up and is not counted
            for family, dtype in rows:
                for stacked in (True, False):
                    rate = _rate(family, dtype, stacked=stacked, seconds=seconds, out=Path(folder))
                    if round_ >= 0:
                        measured.setdefault((family, dtype, stacked), []).append(rate)
    print(f"{'inputs':10}{'dtype':7}{'stacked cells/s':>17}{'module cells/s':>16}{'ratio':>8}")
    for family, dtype in rows:
        wide, alone = (median(measured[family, dtype, stacked]) for stacked in (True, False))
        print(f"{family:10}{dtype:7}{wide:17.0f}{alone:16.0f}{wide / alone:8.1f}")


def _rate(family: str, dtype: str, *, stacked: bool, seconds: float, out: Path) -> float:
    cells = [cell_at({"dtype": dtype, "family": family, "case": str(case)}) for case in range(STACK)]
    manifest = Manifest(tier="rates", argv=(), planned=(), edges={}, environment=environment(), started="")
    writer = RunWriter(Path(tempfile.mkdtemp(dir=out)), manifest)
    began, done = time.perf_counter(), 0
    while time.perf_counter() - began < seconds:
        found = evaluate(cells, lambda _: triangle("engine")) if stacked else _alone(cells)
        writer.write(f"{done:08}", found.lanes, found.edges)
        done += STACK
    return done / (time.perf_counter() - began)


def _alone(cells: Sequence[Cell]) -> Evaluated:
    """Every cell by itself: all its lanes are real modules."""
    whole = Evaluated()
    for cell in cells:
        whole.extend(evaluate([cell], lambda _: triangle("engine")))
    return whole


if __name__ == "__main__":
    main()
