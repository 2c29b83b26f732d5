"""sentence(record) = where two lanes part: the first element that differs, both values and their bits, in one line."""

from __future__ import annotations

from parity.formats import bits_text
from parity.record import EdgeRecord, StageDiff
from parity.verdicts import Verdict


def sentence(record: EdgeRecord) -> str:
    """`weight.codes[3, 17] is -8 (0xf8) in A, but -7 (0xf9) in B; 12 of 2,048 elements differ, by at most 1 step`.

    A record without a diverging stage says its message, or that the lanes are what their verdict says.
    """
    a, b = lane_names(record.edge)
    diff = None if record.first_stage is None else record.stages.find(record.first_stage)
    if diff is not None:
        return divergence(diff, a, b)
    if record.verdict is Verdict.IDENTICAL:
        return f"{a} and {b} have equal bits at every stage"
    return record.message or f"{a} and {b}: {record.verdict}"


def lane_names(edge: str) -> tuple[str, str]:
    """The two lanes of an edge; two backends of one name are told apart by their place."""
    a, _, b = edge.partition("~")
    return (f"{a} (the first)", f"{b} (the second)") if a == b else (a, b)


def divergence(diff: StageDiff, a: str, b: str) -> str:
    """How one stage of lanes a and b differs."""
    if diff.shape_a != diff.shape_b:
        return f"{diff.stage} has the shape {diff.shape_a} in {a}, but {diff.shape_b} in {b}"
    if diff.first is None:
        return f"{diff.stage} is {diff.dtype_a} in {a}, but {diff.dtype_b} in {b}"
    index = f"[{', '.join(map(str, diff.first.index))}]" if diff.first.index else ""
    return (
        f"{diff.stage}{index} is {value_text(diff.first.bits_a, diff.dtype_a)} in {a}, "
        f"but {value_text(diff.first.bits_b, diff.dtype_b)} in {b}; {extent(diff)}"
    )


def extent(diff: StageDiff) -> str:
    """How many elements differ, and by how much: in steps of one code for integers, in ulp for everything else."""
    count = f"{diff.n_different:,} of {diff.n_total:,} elements {'differs' if diff.n_different == 1 else 'differ'}"
    if diff.max_ulp is None:
        return count
    unit = ("step" if diff.max_ulp == 1 else "steps") if diff.stage.endswith((".codes", ".zero_point")) else "ulp"
    nan = ", and some are NaN on one side" if diff.histogram[-1] else ""
    return f"{count}, by at most {diff.max_ulp:,} {unit}{nan}"


def value_text(bits: int, dtype: str) -> str:
    """The number and its bits: -8 (0xf8), 0.5 (0x3f00)."""
    pattern, _, value = bits_text(bits, dtype).partition(" = ")
    return f"{value.partition(' ')[0]} ({pattern})"
