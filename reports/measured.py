"""measured(record) = which way and where the first stage differs, from the tensors a run kept of it.

A record counts distances without their sign; the kept bytes of both lanes have it. What is counted here must add up to
the record's own histogram, or it is not shown.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from parity.evidence import FOLDER, Evidence, Header, read_evidence
from parity.formats import FLOATS, INTEGERS
from parity.record import EdgeRecord
from parity.whole_file import StoreError

# The map of a tensor has at most this many rows and columns; each is then a block of the tensor's.
MAX_ROWS, MAX_COLUMNS = 24, 64

# 0, then 63 bins of doubling width, then the elements of which one is NaN: as in parity.diff.
_BOUNDS = 2 ** np.arange(63, dtype=np.uint64)
_INCOMPARABLE = 64


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Distances:
    """For each element: how many steps B lies from A (uint64), whether above it, and whether one of them is NaN."""

    steps: npt.NDArray[np.uint64]
    above: npt.NDArray[np.bool_]
    incomparable: npt.NDArray[np.bool_]

    @property
    def bins(self) -> npt.NDArray[np.int64]:
        """The bin of each element in a record's histogram."""
        return np.where(self.incomparable, _INCOMPARABLE, np.searchsorted(_BOUNDS, self.steps, side="right"))


def measured(directory: Path, record: EdgeRecord) -> dict[str, Any] | None:
    """The signed histogram and the map of the first stage, as plain values; None where its tensors were not kept.

    above, below = [bin, count] of elements where B is the greater, the smaller; map = differing elements by block.
    """
    first = record.stages.find(record.first_stage or "")
    if first is None or not first.histogram:
        return None
    kept = [_kept(directory, record, lane) for lane in record.edge.split("~")]
    if any(evidence is None for evidence in kept):
        return None
    a, b = (evidence for evidence in kept if evidence is not None)
    integers = first.stage.endswith((".codes", ".zero_point"))
    distances = integer_distances(a, b) if integers else float_distances(a, b)
    bins = distances.bins
    if np.bincount(bins, minlength=len(first.histogram)).tolist() != list(first.histogram):
        return None
    differs = (bins > 0).reshape(first.shape_a)
    return {
        "above": _counts(bins[distances.above & (bins > 0)]),
        "below": _counts(bins[~distances.above & (bins > 0) & (bins < _INCOMPARABLE)]),
        "map": block_counts(differs),
    }


def float_distances(a: Evidence, b: Evidence) -> Distances:
    """Steps on the line of representable values, -0.0 one below +0.0; two NaN are equal whatever their payload."""
    if a.header.dtype not in FLOATS:
        return integer_distances(a, b)
    form = FLOATS[a.header.dtype]
    raw = [_raw(evidence).astype(np.uint64) for evidence in (a, b)]
    magnitude = [bits & np.uint64(form.magnitude_mask) for bits in raw]
    nan = [bits > np.uint64(form.largest) for bits in magnitude]
    place = [
        np.where(bits >> np.uint64(form.width - 1) != 0, -1 - m.astype(np.int64), m.astype(np.int64))
        for bits, m in zip(raw, magnitude, strict=True)
    ]
    return _apart(place[0], place[1], nan[0], nan[1])


def integer_distances(a: Evidence, b: Evidence) -> Distances:
    """Steps of one code: |a - b| of integers, in whatever dtypes the two lanes keep them."""
    values, nan = zip(*(_integers(evidence) for evidence in (a, b)), strict=True)
    return _apart(values[0], values[1], nan[0], nan[1])


def block_counts(differs: npt.NDArray[np.bool_]) -> Mapping[str, Any]:
    """Differing elements of a tensor laid out as rows x last axis, counted in at most MAX_ROWS x MAX_COLUMNS blocks."""
    flat = differs.reshape(-1, differs.shape[-1] if differs.ndim else 1)
    height, width = -(-flat.shape[0] // MAX_ROWS) or 1, -(-flat.shape[1] // MAX_COLUMNS) or 1
    padded = np.pad(flat, ((0, -flat.shape[0] % height), (0, -flat.shape[1] % width)))
    blocks = padded.reshape(padded.shape[0] // height, height, padded.shape[1] // width, width).sum(axis=(1, 3))
    return {"block": [height, width], "shape": list(flat.shape), "counts": blocks.tolist()}


def _apart(
    a: npt.NDArray[np.int64], b: npt.NDArray[np.int64], nan_a: npt.NDArray[np.bool_], nan_b: npt.NDArray[np.bool_]
) -> Distances:
    # The difference of two int64 as uint64 is exact modulo 2^64, and it is below 2^64.
    steps = np.where(b >= a, b.view(np.uint64) - a.view(np.uint64), a.view(np.uint64) - b.view(np.uint64))
    return Distances(steps=np.where(nan_a | nan_b, np.uint64(0), steps), above=b > a, incomparable=nan_a != nan_b)


def _integers(evidence: Evidence) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.bool_]]:
    """Each element as int64, and whether it is NaN (then 0)."""
    raw, dtype = _raw(evidence), evidence.header.dtype
    if dtype in INTEGERS:
        kind = np.dtype(f"{'i' if INTEGERS[dtype].signed else 'u'}{raw.dtype.itemsize}")
        return raw.view(kind).astype(np.int64), np.zeros(len(raw), np.bool_)
    # bfloat16 is the upper half of a float32.
    wide = (raw.astype(np.uint32) << np.uint32(16)).view(np.float32) if dtype == "bfloat16" else None
    value = raw.view(f"f{raw.dtype.itemsize}") if wide is None else wide
    nan = np.isnan(value)
    return np.where(nan, 0, value).astype(np.int64), nan


def _raw(evidence: Evidence) -> npt.NDArray[Any]:
    width = (FLOATS.get(evidence.header.dtype) or INTEGERS[evidence.header.dtype]).width
    return np.frombuffer(evidence.data, np.dtype(f"<u{width // 8}"))


def _counts(bins: npt.NDArray[np.int64]) -> list[list[int]]:
    found, counts = np.unique(bins, return_counts=True)
    return [[int(bin_), int(n)] for bin_, n in zip(found, counts, strict=True)]


def _kept(directory: Path, record: EdgeRecord, lane: str) -> Evidence | None:
    """The tensor of the record's first stage on one lane; None where it was not kept or cannot be read."""
    wanted = Header(
        signature="",
        cell=record.cell,
        edge=record.edge,
        lane=lane,
        stage=record.first_stage or "",
        dtype="",
        shape=(),
        digest="",
    )
    try:
        facts = json.loads((directory / FOLDER / f"{wanted.name}.json").read_text(encoding="utf-8"))
        return read_evidence(directory, Header(**{**facts, "shape": tuple(facts["shape"])}))
    except (OSError, ValueError, TypeError, KeyError, StoreError):
        # Evidence is an aid: a page without it is still right, and `parity replay` makes it again.
        return None
