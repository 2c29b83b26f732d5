"""failure(record) = what a person needs of two lanes that are not identical: six facts, a line each.

Cell, first stage, first index, both values with their bits, cause, and how to run it again.
"""

from __future__ import annotations

from parity.comparison import Comparison
from parity.record import EdgeRecord
from parity.rerun import rerun
from parity.sentence import extent, sentence


def failure(record: Comparison) -> str:
    """Cell, first stage, first index, both values with their bits, cause, and the call that compares again.

    The cause is sought now, by running both lanes on further inputs; where it cannot be sought, that is what is said.
    """
    lines = [f"{record.edge} is {record.verdict}, not identical, on {record.cell}"]
    diff = None if record.first_stage is None else record.stages.find(record.first_stage)
    if diff is not None:
        lines += [f"first stage: {diff.stage} ({extent(diff)})", f"first index: {diff.first_index}"]
    lines.append(sentence(record))
    if diff is not None:
        lines.append(f"cause: {_cause(record)}")
    return "\n".join([*lines, f"rerun: {record.rerun}"])


def pair_failure(record: EdgeRecord) -> str:
    """The same facts of a pair in a run, whose cell is run again by its id."""
    lines = [f"{record.edge} is {record.verdict} on {record.cell}", sentence(record)]
    if record.stages:
        lines.append(f"cause: {_cause(record)}")
    return "\n".join([*lines, f"rerun: {rerun(record.cell)}"])


def _cause(record: EdgeRecord) -> str:
    from parity.explain import explain

    try:
        return explain(record).sentence
    except ValueError as error:
        return f"not sought, for {error}"
