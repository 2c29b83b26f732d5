"""records(table(records)) = records: LaneRecord and EdgeRecord as Arrow tables, one row each, their stages nested.

Built from flat Python lists and offsets, several times faster than from nested dicts. Shapes and indices are text,
"8,64" (a 0-d one is ""), digests are uint64, distances and element bits too: two float64 can be 2^64 ulp apart.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import lru_cache
from itertools import accumulate, chain, islice
from typing import Any, TypeVar, cast

import pyarrow as pa

from parity.record import ByStage, EdgeRecord, Element, LaneRecord, LaneStage, StageDiff
from parity.verdicts import Outcome, Verdict

T = TypeVar("T")

_TEXT, _COUNT, _BITS = pa.string(), pa.int64(), pa.uint64()

_ELEMENT = pa.struct([("index", _TEXT), ("bits_a", _BITS), ("bits_b", _BITS), ("ulp", _BITS)])

_LANE_STAGE = pa.struct([("stage", _TEXT), ("dtype", _TEXT), ("computed", _TEXT), ("shape", _TEXT), ("digest", _BITS)])

_STAGE_DIFF = pa.struct(
    [
        ("stage", _TEXT),
        ("dtype_a", _TEXT),
        ("dtype_b", _TEXT),
        ("shape_a", _TEXT),
        ("shape_b", _TEXT),
        ("n_total", _COUNT),
        ("n_different", _COUNT),
        ("max_ulp", _BITS),
        ("first_index", _TEXT),
        ("first", _ELEMENT),
        ("worst", pa.list_(_ELEMENT)),
        ("histogram", pa.list_(_COUNT)),
        ("sqnr_db", pa.float64()),
    ]
)

LANES = pa.schema(
    [
        ("cell", _TEXT),
        ("lane", _TEXT),
        ("outcome", _TEXT),
        ("message", _TEXT),
        ("input_digest", _TEXT),
        ("stages", pa.list_(_LANE_STAGE)),
        ("coverage", pa.list_(pa.struct([("name", _TEXT), ("count", _COUNT)]))),
    ]
)

EDGES = pa.schema(
    [
        ("cell", _TEXT),
        ("edge", _TEXT),
        ("verdict", _TEXT),
        ("contract", _TEXT),
        ("first_stage", _TEXT),
        ("stages", pa.list_(_STAGE_DIFF)),
        ("signature", _TEXT),
        ("cause", _TEXT),
        ("ledger", _TEXT),
        ("message", _TEXT),
    ]
)


def lane_table(records: Sequence[LaneRecord]) -> pa.Table:
    """A row for each record, in the schema LANES."""
    coverage = LANES.field("coverage").type
    return _table(
        LANES,
        [r.cell for r in records],
        [r.lane for r in records],
        [r.outcome.value for r in records],
        [r.message for r in records],
        [r.input_digest for r in records],
        _lists(LANES.field("stages").type, [r.stages for r in records], _lane_stages),
        _lists(coverage, [r.coverage for r in records], lambda pairs: _struct(coverage.value_type, *_unzip(pairs, 2))),
    )


def edge_table(records: Sequence[EdgeRecord]) -> pa.Table:
    """A row for each record, in the schema EDGES."""
    return _table(
        EDGES,
        [r.cell for r in records],
        [r.edge for r in records],
        [r.verdict.value for r in records],
        [r.contract for r in records],
        [r.first_stage for r in records],
        _lists(EDGES.field("stages").type, [r.stages for r in records], _stage_diffs),
        [r.signature for r in records],
        [r.cause for r in records],
        [r.ledger for r in records],
        [r.message for r in records],
    )


def lane_records(table: pa.Table) -> Iterator[LaneRecord]:
    """lane_records(lane_table(records)) = records, decoded one after another."""
    outcomes = {outcome.value: outcome for outcome in Outcome}
    for cell, lane, outcome, message, input_digest, stages, coverage in _rows(table):
        yield LaneRecord(
            cell=cell,
            lane=lane,
            outcome=outcomes[outcome],
            message=message,
            input_digest=input_digest,
            stages=ByStage(_lane_stage(*stage) for stage in stages),
            coverage=tuple(coverage),
        )


def edge_records(table: pa.Table) -> Iterator[EdgeRecord]:
    """edge_records(edge_table(records)) = records, decoded one after another."""
    verdicts = {verdict.value: verdict for verdict in Verdict}
    for cell, edge, verdict, contract, first_stage, stages, signature, cause, ledger, message in _rows(table):
        yield EdgeRecord(
            cell=cell,
            edge=edge,
            verdict=verdicts[verdict],
            contract=contract,
            first_stage=first_stage,
            stages=ByStage(_stage_diff(*stage) for stage in stages),
            signature=signature,
            cause=cause,
            ledger=ledger,
            message=message,
        )


def _lane_stages(stages: Sequence[LaneStage]) -> pa.Array:
    return _struct(
        _LANE_STAGE,
        [s.stage for s in stages],
        [s.dtype for s in stages],
        [s.computed for s in stages],
        [_text(s.shape) for s in stages],
        [int(s.digest, 16) for s in stages],
    )


def _lane_stage(stage: str, dtype: str, computed: str, shape: str, digest: int) -> LaneStage:
    return LaneStage(stage=stage, dtype=dtype, computed=computed, shape=_numbers(shape), digest=f"{digest:016x}")


def _stage_diffs(diffs: Sequence[StageDiff]) -> pa.Array:
    elements = _STAGE_DIFF.field("worst").type
    return _struct(
        _STAGE_DIFF,
        [d.stage for d in diffs],
        [d.dtype_a for d in diffs],
        [d.dtype_b for d in diffs],
        [_text(d.shape_a) for d in diffs],
        [_text(d.shape_b) for d in diffs],
        [d.n_total for d in diffs],
        [d.n_different for d in diffs],
        [d.max_ulp for d in diffs],
        [None if d.first_index is None else _text(d.first_index) for d in diffs],
        _elements([d.first for d in diffs]),
        _lists(elements, [d.worst for d in diffs], _elements),
        _lists(_STAGE_DIFF.field("histogram").type, [d.histogram for d in diffs], lambda ns: pa.array(ns, _COUNT)),
        [d.sqnr_db for d in diffs],
    )


def _stage_diff(
    stage: str,
    dtype_a: str,
    dtype_b: str,
    shape_a: str,
    shape_b: str,
    n_total: int,
    n_different: int,
    max_ulp: int | None,
    first_index: str | None,
    first: tuple[Any, ...] | None,
    worst: list[tuple[Any, ...]],
    histogram: list[int],
    sqnr_db: float | None,
) -> StageDiff:
    return StageDiff(
        stage=stage,
        dtype_a=dtype_a,
        dtype_b=dtype_b,
        shape_a=_numbers(shape_a),
        shape_b=_numbers(shape_b),
        n_total=n_total,
        n_different=n_different,
        max_ulp=max_ulp,
        first_index=None if first_index is None else _numbers(first_index),
        first=None if first is None else _element(*first),
        worst=tuple(_element(*element) for element in worst),
        histogram=tuple(histogram),
        sqnr_db=sqnr_db,
    )


def _elements(elements: Sequence[Element | None]) -> pa.Array:
    """A null for each None."""
    blank = Element(index=(), bits_a=0, bits_b=0, ulp=None)
    full = [blank if e is None else e for e in elements]
    return _struct(
        _ELEMENT,
        [_text(e.index) for e in full],
        [e.bits_a for e in full],
        [e.bits_b for e in full],
        [e.ulp for e in full],
        missing=[e is None for e in elements],
    )


def _element(index: str, bits_a: int, bits_b: int, ulp: int | None) -> Element:
    return Element(index=_numbers(index), bits_a=bits_a, bits_b=bits_b, ulp=ulp)


@lru_cache(maxsize=65536)
def _text(numbers: tuple[int, ...]) -> str:
    return ",".join(map(str, numbers))


@lru_cache(maxsize=65536)
def _numbers(text: str) -> tuple[int, ...]:
    return tuple(map(int, text.split(","))) if text else ()


def _unzip(rows: Sequence[tuple[Any, ...]], width: int) -> list[list[Any]]:
    return [[row[i] for row in rows] for i in range(width)]


def _table(schema: pa.Schema, *columns: Any) -> pa.Table:
    return pa.table(_arrays(schema, columns), schema=schema)


def _struct(kind: pa.StructType, *columns: Any, missing: list[bool] | None = None) -> pa.Array:
    mask = None if missing is None else pa.array(missing, pa.bool_())
    return pa.StructArray.from_arrays(_arrays(kind, columns), fields=list(kind), mask=mask)


def _arrays(fields: Iterable[pa.Field], columns: Iterable[Any]) -> list[pa.Array]:
    """Lists become arrays of their field's type; arrays stay."""
    pairs = zip(fields, columns, strict=True)
    return [column if isinstance(column, pa.Array) else pa.array(column, field.type) for field, column in pairs]


def _lists(kind: pa.ListType, lists: Sequence[Sequence[T]], values: Callable[[list[T]], pa.Array]) -> pa.Array:
    """A list for each of `lists`, over one flat array of what they hold."""
    offsets = pa.array(accumulate(map(len, lists), initial=0), pa.int32())
    return pa.ListArray.from_arrays(offsets, values(list(chain.from_iterable(lists))), type=kind)


def _rows(table: pa.Table) -> Iterator[tuple[Any, ...]]:
    return zip(*(_plain(column.combine_chunks()) for column in table.columns), strict=True)


def _plain(array: pa.Array) -> Iterable[Any]:
    """Python values: a struct is the tuple of its fields, a list a list; nulls are None."""
    if isinstance(array, pa.ChunkedArray):  # what combine_chunks returns for a table of no rows
        array = pa.concat_arrays(array.chunks) if array.num_chunks else pa.array([], array.type)
    if pa.types.is_struct(array.type):
        rows: list[Any] = list(zip(*(_plain(child) for child in array.flatten()), strict=True))
        if array.null_count:
            return [row if there else None for row, there in zip(rows, array.is_valid().to_pylist(), strict=True)]
        return rows
    if pa.types.is_list(array.type):
        values = iter(_plain(array.flatten()))
        return [list(islice(values, length)) for length in array.value_lengths().to_pylist()]
    if array.null_count == 0 and pa.types.is_string(array.type):
        coded = array.dictionary_encode()  # a few words a thousand times each: one Python object a word
        words = coded.dictionary.to_pylist()
        return [words[i] for i in coded.indices.to_numpy().tolist()]
    if array.null_count == 0 and pa.types.is_integer(array.type):
        return cast(list[int], array.to_numpy().tolist())
    return cast(list[Any], array.to_pylist())
