"""What a base revision that can be run says beyond its digests: which rule moved, and how far its outputs are away."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from parity.gate.code import Code
from parity.gate.gate import Gate
from parity.gate.measured import Measured
from parity.gate.moves import Move
from parity.gate.rule_moves import Flipped, RuleMove, declared_moves
from parity.gate.samples import Sample, chosen, samples
from parity.store import Run

# Outputs measured in tensors, of the moves that come first.
MEASURED = 8


def rules_moved(
    found: Gate, before: Run, after: Run, base: Code, own: Code, lanes: Sequence[str] | None
) -> tuple[RuleMove, ...]:
    """Rules that the named sets declare otherwise now, tried on moved cells; then what explains the cells left over.

    A declared rule is confirmed where this checkout, given the value before, makes the baseline's bits. Where nothing
    declared does, every decision is tried alone: here against the baseline, then there against the candidate.
    """
    told: list[RuleMove] = []
    declared = declared_moves(base.declared(), own.declared())
    pairs = chosen(found.moves)
    wanted, given = samples(before, pairs), samples(after, pairs)
    for name in dict.fromkeys([*(flip.rules for flip in declared), *(sample.rules for sample in wanted)]):
        flips = tuple(flip for flip in declared if flip.rules == name)
        of_set = [sample for sample in wanted if sample.rules == name]
        confirmed = 0
        if flips and of_set:
            asked = [[[flip.field, flip.before] for flip in flips]]
            confirmed = max((one["confirmed"] for one in _asked(own, before, of_set, lanes, asked)), default=0)
        if flips:
            told.append(RuleMove(flips=flips, declared=True, tried=len(of_set), confirmed=confirmed))
        if of_set and not confirmed:
            told += _undeclared(before, name, (of_set, [s for s in given if s.rules == name]), (base, own), lanes)
    return tuple(told)


def stages_measured(
    found: Gate, before: Run, base: Code, own: Code, lanes: Sequence[str] | None
) -> tuple[Measured, ...]:
    """The first moved stage and the output of a few moved cells, both revisions' tensors held against each other."""
    import torch

    from parity.diff import diff_stage

    moved = [move for move in found.moves if chosen([move])][:MEASURED]
    wanted = samples(before, [(move.example, move.lane) for move in moved])
    if not wanted:
        return ()
    request = _request(before, wanted, lanes)
    sides = [code.tensors(request) for code in (base, own)]
    if not all(sides):
        return ()
    told = []
    with torch.no_grad():
        for place, stage in _places(wanted, moved):
            a, b = (side.get(f"{place}/{stage}") for side in sides)
            if a is None and b is None:
                continue
            diff = diff_stage(stage, a, b)
            told.append(
                Measured(
                    cell=wanted[place].cell,
                    lane=wanted[place].lane,
                    stage=stage,
                    n_different=diff.n_different,
                    n_total=diff.n_total,
                    max_ulp=diff.max_ulp,
                    sqnr_db=diff.sqnr_db,
                )
            )
    return tuple(told)


def _places(wanted: Sequence[Sample], moved: Sequence[Move]) -> Iterator[tuple[int, str]]:
    """For each sample the stage that moved first, and the output."""
    first = {(move.example, move.lane): move.stage for move in moved}
    for place, sample in enumerate(wanted):
        yield from ((place, stage) for stage in dict.fromkeys((first[sample.cell, sample.lane], "output")))


def _undeclared(
    before: Run,
    name: str,
    wanted: tuple[Sequence[Sample], Sequence[Sample]],
    codes: tuple[Code, Code],
    lanes: Sequence[str] | None,
) -> Iterator[RuleMove]:
    """The first single decision that reproduces every sample of one side in the other side's code."""
    (of_baseline, of_candidate), (base, own) = wanted, codes
    for code, side in ((own, of_baseline), (base, of_candidate)):
        whole = [one for one in _asked(code, before, side, lanes, None) if one["confirmed"] == len(side)]
        if whole:
            flips = tuple(_flipped(name, flip, there=code is base) for flip in whole[0]["flips"])
            yield RuleMove(flips=flips, declared=False, tried=len(side), confirmed=len(side))
            return


def _flipped(name: str, flip: Sequence[str], *, there: bool) -> Flipped:
    """A flip made here names the value before, one made in the base revision the value now."""
    field, own, tried = flip
    return Flipped(name, field, own, tried) if there else Flipped(name, field, tried, own)


def _asked(
    code: Code, run: Run, wanted: Iterable[Sample], lanes: Sequence[str] | None, flips: object
) -> list[dict[str, Any]]:
    """What the code answers; nothing where there is nothing to ask about."""
    request = {**_request(run, wanted, lanes), "flips": flips}
    return code.reproduced(request) if request["samples"] else []


def _request(run: Run, wanted: Iterable[Sample], lanes: Sequence[str] | None) -> dict[str, Any]:
    limited = None if lanes is None else list(lanes)
    return {"run": str(run.directory.resolve()), "lanes": limited, "samples": [each.to_json() for each in wanted]}
