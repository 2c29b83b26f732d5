"""details = every stage, histogram and worst element of at most 300 cells, each signature once before any twice."""

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from parity.columns import edge_records, lane_records
from parity.record import Element, LaneRecord, StageDiff
from reports.explained import Explanations
from reports.findings import rows_of
from reports.load import Sheet
from reports.measured import measured

MAX_CELLS = 300


def detailed_cells(sheet: Sheet, explained: Iterable[int] = (), limit: int = MAX_CELLS) -> list[int]:
    """The cells that get a page with everything: those of explained findings, then the gravest."""
    chosen: dict[int, None] = {}
    for finding in (*explained, *sheet.findings.foremost(len(sheet.findings))):
        if len(chosen) == limit:
            break
        chosen[int(sheet.findings.cell[finding])] = None
    return sorted(chosen)


def details(sheet: Sheet, cells: list[int], found: Explanations) -> dict[str, Any]:
    """cell position -> its lanes and its differing edges, as plain values; integers that may exceed 2^53 are text."""
    names = pa.array([sheet.cells[cell] for cell in cells], pa.string())
    position = {sheet.cells[cell]: str(cell) for cell in cells}
    told: dict[str, Any] = {place: {"lanes": {}, "edges": {}} for place in position.values()}
    lanes = sheet.run.lanes.table
    for lane in lane_records(lanes.filter(pc.is_in(lanes.column("cell"), value_set=names))):
        told[position[lane.cell]]["lanes"].setdefault(lane.lane, _lane(lane))
    rows = sheet.findings.row[np.isin(sheet.findings.cell, cells)]
    for record in edge_records(rows_of(sheet.run.edges.table, rows)):
        kept = found.by_pair.get((record.cell, record.edge))
        told[position[record.cell]]["edges"][record.edge] = {
            "contract": record.contract,
            "message": record.message,
            "stages": [_stage(diff) for diff in record.stages],
            "measured": measured(sheet.run.directory, record),
            "explanation": None if kept is None else kept.to_json(),
        }
    return told


def _lane(record: LaneRecord) -> Mapping[str, Any]:
    return {
        "outcome": record.outcome.value,
        "message": record.message,
        "stages": {stage.stage: [stage.dtype, stage.computed] for stage in record.stages},
        "coverage": [[name, count] for name, count in record.coverage],
    }


def _stage(diff: StageDiff) -> Mapping[str, Any]:
    return {
        "stage": diff.stage,
        "dtypes": [diff.dtype_a, diff.dtype_b],
        "shapes": [list(diff.shape_a), list(diff.shape_b)],
        "n_total": diff.n_total,
        "n_different": diff.n_different,
        "max_ulp": None if diff.max_ulp is None else str(diff.max_ulp),
        "sqnr_db": diff.sqnr_db,
        "first": None if diff.first is None else _element(diff.first),
        "worst": [_element(element) for element in diff.worst],
        # The bins that hold anything, and the number of bins: the last one is of elements that cannot be compared.
        "histogram": [[bin_, count] for bin_, count in enumerate(diff.histogram) if count],
        "bins": len(diff.histogram),
    }


def _element(element: Element) -> list[Any]:
    """[index, hex of a, hex of b, ulp]; an ulp distance may not fit a float64, so it is text."""
    ulp = None if element.ulp is None else str(element.ulp)
    return [list(element.index), f"{element.bits_a:x}", f"{element.bits_b:x}", ulp]
