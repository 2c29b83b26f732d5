"""A run directory of N cells, of which so many diverge in so many ways: what the report page is timed and looked at on.

    python -m benchmarks.report_records runs/synthetic --cells 100000 --mismatching 10000 --signatures 200

Nothing is quantized: the records are made up, the same for the same arguments, and go through parity.store as a run's
do.
"""

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import cycle, islice, product
from math import gcd, prod
from pathlib import Path
from random import Random

from benchmarks.report_stages import LEVELS, diverging_stages, lane_stages
from parity.axes import AXES
from parity.cells import DEFAULT_ID, illegal_reason, parse_cell
from parity.manifest import Manifest, RunStatus
from parity.record import STAGES, ByStage, EdgeRecord, LaneRecord
from parity.setting import Environment
from parity.signature import signature_of
from parity.store import RunWriter
from parity.verdicts import Outcome, Verdict

EDGES = (
    "engine:ptq~engine:qat_prepare",
    "engine:ptq~engine:qat_convert",
    "engine.torchao:qat_convert~torchao:qat_convert",
)

CELLS_PER_CHUNK = 5000

# The axes that the cells are spread over, slowest first; every other axis stays at its default.
_SPREAD = ("preset", "dtype", "scale", "domain", "eps", "bits", "family", "case", "device")
_VALUES = {
    "scale": ("preset", "model", "bf16", "fp16"),
    "domain": ("preset", "int", "float", "none"),
    "eps": ("preset", "input_eps", "1e-3"),
    "bits": ("preset", "2", "8"),
    "family": ("directed", "random", "ties", "eps_edge", "subnormal"),
    "device": ("cpu", "cuda"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """Cells at these axis values diverge on this edge, first at this stage; ledger = the row that excuses them."""

    edge: str
    where: tuple[tuple[str, str], ...]
    stage: str
    cause: str
    ledger: str = ""
    level: int = 0

    def strikes(self, values: dict[str, str]) -> bool:
        return all(values[axis] == value for axis, value in self.where)


# What a reader may meet: a cast before a multiply, a kept float code, an eps of the wrong dtype, a bias added late.
_TOLD = (
    Fault(
        edge=EDGES[2],
        where=(("dtype", "bf16"), ("scale", "model")),
        stage="weight.scale",
        cause="weight.scale_dtype=bf16/fp32",
        level=1,
    ),
    Fault(
        edge=EDGES[0],
        where=(("dtype", "fp16"), ("eps", "1e-3")),
        stage="weight.codes",
        cause="",
        level=0,
    ),
    Fault(
        edge=EDGES[2],
        where=(("dtype", "fp16"), ("family", "subnormal")),
        stage="weight.zero_point",
        cause="weight.eps=2**-14/2**-24",
        ledger="torchao-fp16-eps",
        level=3,
    ),
    Fault(
        edge=EDGES[0],
        where=(("domain", "float"), ("bits", "2")),
        stage="weight.dequantized",
        cause="weight.multiply_in=fp32/bf16",
        ledger="float-domain-late-cast",
        level=1,
    ),
    Fault(
        edge=EDGES[1],
        where=(("scale", "fp16"), ("family", "ties")),
        stage="output",
        cause="product.bias_in_accumulator=yes/no",
        ledger="bias-after-rounding",
        level=2,
    ),
)


def cell_ids(n: int) -> list[tuple[str, dict[str, str]]]:
    """n different cells spread over the product of the axes, in its order. Raises ValueError for too many."""
    values = [_VALUES.get(axis, AXES[axis].values) for axis in _SPREAD]
    total = prod(map(len, values))
    if not 1 <= n <= total:
        raise ValueError(f"between 1 and {total} cells can be made, but {n} were asked for")
    # Steps of the golden section meet every value of every axis; equal steps would miss those of the fastest ones.
    step = next(m for m in range(int(total * 0.618), total) if gcd(m, total) == 1)
    wanted = {i * step % total for i in range(n)}
    return [_cell(_SPREAD, point) for i, point in enumerate(product(*values)) if i in wanted]


def write_run(directory: Path, *, cells: int, mismatching: int, signatures: int, seed: int = 0) -> None:
    """A finished run in an empty directory: `mismatching` of its cells diverge, under `signatures` signatures."""
    planned = cell_ids(cells)
    struck = _struck(planned, faults(signatures), mismatching, Random(seed))
    manifest = Manifest(
        tier="synthetic",
        argv=("python", "-m", "benchmarks.report_records"),
        planned=tuple(cell for cell, _ in planned),
        edges=dict.fromkeys(EDGES, cells),
        cut=("The covering array kept 1,637 of 1,902 rows within the budget.",),
        environment=_ENVIRONMENT,
        started="2026-01-31T02:00:00+00:00",
    )
    writer = RunWriter(directory, manifest)
    for start in range(0, cells, CELLS_PER_CHUNK):
        chunk = planned[start : start + CELLS_PER_CHUNK]
        lanes = [record for cell, values in chunk for record in _lanes(cell, values)]
        edges = [record for cell, values in chunk for record in _edges(cell, values, struck.get(cell), seed)]
        writer.write(f"{start:07}", lanes, edges)
    writer.close(RunStatus.COMPLETE)


def faults(signatures: int) -> tuple[Fault, ...]:
    """That many faults of unlike signatures, the told ones first; the rest have no place on the axes."""
    stages = [stage for stage in STAGES if stage.startswith(("weight", "output"))]
    kinds = enumerate(islice(cycle(product(EDGES, stages, range(len(LEVELS)))), signatures))
    more = (
        Fault(edge=edge, where=(), stage=stage, cause=f"rule_{i}=yes/no", level=level)
        for i, (edge, stage, level) in kinds
    )
    return (*_TOLD, *more)[:signatures]


def _cell(axes: Sequence[str], point: Sequence[str]) -> tuple[str, dict[str, str]]:
    values = {**{name: axis.default for name, axis in AXES.items()}, **dict(zip(axes, point, strict=True))}
    parts = [f"{name}:{value}" for name, value in values.items() if value != AXES[name].default]
    return ",".join(parts) or DEFAULT_ID, values


def _struck(
    planned: Sequence[tuple[str, dict[str, str]]], all_faults: Sequence[Fault], n: int, random: Random
) -> dict[str, Fault]:
    """Which cell meets which fault: n of them in all, shared out evenly, and only where the fault can strike."""
    legal = [(cell, values) for cell, values in planned if values["device"] == "cpu" and not _refusal(cell)]
    random.shuffle(legal)
    struck: dict[str, Fault] = {}
    for number, fault in enumerate(all_faults):
        share = n * (number + 1) // len(all_faults) - n * number // len(all_faults)
        free = (cell for cell, values in legal if cell not in struck and fault.strikes(values))
        struck.update((cell, fault) for cell in list(islice(free, share)))
    missing = n - len(struck)
    free = (cell for cell, _ in legal if cell not in struck)
    struck.update((cell, all_faults[-1]) for cell in list(islice(free, missing)))
    return struck


def _lanes(cell: str, values: dict[str, str]) -> Iterator[LaneRecord]:
    for lane in sorted({lane for edge in EDGES for lane in edge.split("~")}):
        blank = LaneRecord(cell=cell, lane=lane, outcome=Outcome.RAN, input_digest=f"{hash_of(cell):016x}")
        if refused := _refusal(cell):
            yield replace(blank, outcome=Outcome.RAISED, message=f"ValueError: {refused}")
        elif values["device"] == "cuda":
            yield replace(blank, outcome=Outcome.UNRUN, message="no cuda")
        else:
            coverage = tuple((name, hash_of(cell + name) % many) for name, many in _COVERAGE)
            yield replace(blank, stages=lane_stages(values, hash_of(cell + lane)), coverage=coverage)


def _edges(cell: str, values: dict[str, str], fault: Fault | None, seed: int) -> Iterator[EdgeRecord]:
    for edge in EDGES:
        same = EdgeRecord(cell=cell, edge=edge, verdict=Verdict.IDENTICAL, contract="exact")
        if refused := _refusal(cell):
            yield replace(same, verdict=Verdict.UNSUPPORTED, message=refused)
        elif values["device"] == "cuda":
            yield replace(same, verdict=Verdict.UNRUN, message=f"{edge.split('~')[0]}: no cuda")
        elif fault is None or fault.edge != edge:
            yield same
        else:
            diffs = diverging_stages(values, fault.stage, fault.level, Random(f"{seed}{cell}{edge}"))
            yield replace(
                same,
                verdict=Verdict.KNOWN if fault.ledger else Verdict.DIVERGED,
                first_stage=fault.stage,
                stages=ByStage(diffs),
                signature=str(signature_of(edge, ByStage(diffs)[fault.stage], fault.cause)),
                cause=fault.cause,
                ledger=fault.ledger,
            )


def _refusal(cell: str) -> str:
    return illegal_reason(parse_cell(cell)) or ""


def hash_of(text: str) -> int:
    """A number that only the text decides: Python's own hash is another in every process."""
    return Random(text).getrandbits(64)


_COVERAGE = (("ties", 9), ("clamp_edges", 5), ("eps_active", 2), ("subnormal_scales", 3), ("saturated_zero_points", 2))

_ENVIRONMENT = Environment(
    setting={
        "platform": "linux x86_64",
        "cpu": "made-up CPU",
        "cpu_capability": "AVX2",
        "gpu": None,
        "threads": 1,
        "flush_to_zero": False,
        "float32_matmul_precision": "highest",
        "torch": "2.13.0",
    },
    subject={"engine_commit": "1a2b3c4d5e6f", "engine_dirty": False, "torchao": "0.18.0"},
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("directory", type=Path)
    parser.add_argument("--cells", type=int, default=2000)
    parser.add_argument("--mismatching", type=int, default=200)
    parser.add_argument("--signatures", type=int, default=5)
    arguments = parser.parse_args()
    write_run(
        arguments.directory,
        cells=arguments.cells,
        mismatching=arguments.mismatching,
        signatures=arguments.signatures,
    )


if __name__ == "__main__":
    main()
