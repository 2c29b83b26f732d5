"""Signed histogram and map come from kept tensors, add up to the record's histogram, or are not shown."""

from dataclasses import replace
from pathlib import Path
from struct import pack

import numpy as np
import pytest

from parity.evidence import EvidenceWriter, Header
from parity.record import ByStage, EdgeRecord, StageDiff
from parity.verdicts import Verdict
from reports.measured import block_counts, measured
from suites.plain_records import EDGE, differing, pair
from suites.report_runs import write

LANES = EDGE.split("~")
NAN = 0x7FC0


def diverging(stage: str, shape: tuple[int, ...], bins: dict[int, int]) -> EdgeRecord:
    """A record of one stage whose histogram has these counts; bin 64 is of elements of which one is NaN."""
    histogram = tuple(bins.get(i, 0) for i in range(65))
    diff: StageDiff = replace(differing(stage), shape_a=shape, shape_b=shape, histogram=histogram)
    return replace(pair(verdict=Verdict.DIVERGED), first_stage=stage, stages=ByStage((diff,)))


def kept(directory: Path, record: EdgeRecord, *sides: tuple[str, bytes]) -> Path:
    """The run directory with the tensors of both lanes in it."""
    write(directory, [record])
    stage = record.first_stage or ""
    writer = EvidenceWriter(directory)
    for lane, (dtype, data) in zip(LANES, sides, strict=True):
        header = Header(
            signature="s",
            cell=record.cell,
            edge=record.edge,
            lane=lane,
            stage=stage,
            dtype=dtype,
            shape=record.stages[stage].shape_a,
            digest="0" * 16,
        )
        assert writer.keep(header, data)
    return directory


def test_bfloat16_distances_have_a_sign_and_a_place(tmp_path: Path) -> None:
    """Row by row: equal, 1 above; 5 below across zero, one NaN; two NaN of unlike payload, -0.0 against 0.0."""
    a = pack("<6H", 0x3F80, 0x3F80, 0x0002, NAN, NAN, 0x8000)
    b = pack("<6H", 0x3F80, 0x3F81, 0x8002, 0x3F80, NAN + 1, 0x0000)
    record = diverging("weight.scale", (3, 2), {0: 2, 1: 2, 3: 1, 64: 1})
    told = measured(kept(tmp_path / "run", record, ("bfloat16", a), ("bfloat16", b)), record)
    assert told is not None
    assert told["above"] == [[1, 2]]
    assert told["below"] == [[3, 1]]
    assert told["map"] == {"block": [1, 1], "shape": [3, 2], "counts": [[0, 1], [1, 1], [0, 1]]}


def test_codes_are_compared_as_integers_whatever_keeps_them(tmp_path: Path) -> None:
    a, b = pack("<4b", -8, 0, 7, 3), pack("<4f", -8.0, -0.0, 6.0, 7.0)
    record = diverging("weight.codes", (2, 2), {0: 2, 1: 1, 3: 1})
    told = measured(kept(tmp_path / "run", record, ("int8", a), ("float32", b)), record)
    assert told is not None
    assert (told["below"], told["above"]) == ([[1, 1]], [[3, 1]])


def test_float64_across_the_whole_line_does_not_overflow(tmp_path: Path) -> None:
    a, b = pack("<d", 1.7e308), pack("<d", -1.7e308)
    record = diverging("weight.scale", (1,), {63: 1})
    told = measured(kept(tmp_path / "run", record, ("float64", a), ("float64", b)), record)
    assert told is not None
    assert told["below"] == [[63, 1]]


@pytest.mark.parametrize(
    ("broken", "histogram"), [("", {0: 1, 2: 1}), ("bin", {0: 1, 1: 1}), ("json", {0: 1, 1: 1}), ("both", {0: 1, 1: 1})]
)
def test_evidence_that_does_not_fit_or_cannot_be_read_is_not_shown(
    tmp_path: Path, broken: str, histogram: dict[int, int]
) -> None:
    a, b = pack("<2H", 0x3F80, 0x3F80), pack("<2H", 0x3F80, 0x3F81)
    good = diverging("weight.scale", (2,), {0: 1, 1: 1})
    run = kept(tmp_path / "run", good, ("bfloat16", a), ("bfloat16", b))
    assert measured(run, good) is not None
    for path in (run / "evidence").iterdir():
        if broken == "both":
            path.unlink()
        elif path.suffix == f".{broken}":
            path.write_bytes(b"{")
    assert measured(run, diverging("weight.scale", (2,), histogram)) is None


def test_large_tensor_is_counted_in_blocks() -> None:
    differs = np.zeros((2, 50, 130), np.bool_)
    differs[0, 0, :3] = differs[1, 49, 129] = True
    told = block_counts(differs)
    assert (told["block"], told["shape"]) == ([5, 3], [100, 130])
    counts = np.array(told["counts"])
    assert counts.shape == (20, 44)
    assert (counts[0, 0], counts[19, 43], counts.sum()) == (3, 1, 4)
