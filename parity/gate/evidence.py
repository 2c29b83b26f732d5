"""What a base revision that can be run says beyond its digests: which rule moved, and how far its outputs are away."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any, Protocol

from parity.gate.gate import Gate
from parity.gate.measured import Measured
from parity.gate.moves import Move
from parity.gate.rule_moves import Declared, Flipped, RuleMove, declared_moves
from parity.gate.samples import Sample, chosen, samples
from parity.store import Run

# Outputs measured in tensors, of the moves that come first.
MEASURED = 8

# A revision's named sets as text, read by its own code.
_DECLARED = """
import json
from dataclasses import fields
from quant.rule_sets import PRODUCT_RULE_SETS, RULE_SETS
sets = {name: {} for name in RULE_SETS}
for known in (RULE_SETS, PRODUCT_RULE_SETS):
    for name, rules in known.items():
        sets[name].update({field.name: str(getattr(rules, field.name)) for field in fields(rules)})
print(json.dumps(sets))
"""


class Runs(Protocol):
    """A checkout that runs Python with its own packages."""

    def python(self, *arguments: str, stdin: str = "") -> CompletedProcess[str]: ...


def rules_moved(
    found: Gate, before: Run, after: Run, base: Runs, own: Runs, lanes: Sequence[str] | None
) -> tuple[RuleMove, ...]:
    """Rules that the named sets declare otherwise now, tried on moved cells; then what explains the cells left over.

    A declared rule is confirmed where this checkout, given the value before, makes the baseline's bits. Where nothing
    declared does, every decision is tried alone: here against the baseline, then there against the candidate.
    """
    told: list[RuleMove] = []
    declared = declared_moves(_declared(base), _declared(own))
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
    found: Gate, before: Run, base: Runs, own: Runs, lanes: Sequence[str] | None
) -> tuple[Measured, ...]:
    """The first moved stage and the output of a few moved cells, both revisions' tensors held against each other."""
    import torch
    from safetensors.torch import load_file

    from parity.diff import diff_stage

    moved = [move for move in found.moves if chosen([move])][:MEASURED]
    wanted = samples(before, [(move.example, move.lane) for move in moved])
    if not wanted:
        return ()
    folder = before.directory.parent
    sides = []
    for name, checkout in (("baseline", base), ("candidate", own)):
        out = folder / f"{name}.safetensors"
        request = {**_request(before, wanted, lanes), "out": str(out)}
        if checkout.python("-m", "parity.gate.stage_tensors", stdin=json.dumps(request)).returncode:
            return ()
        sides.append(load_file(out))
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
    checkouts: tuple[Runs, Runs],
    lanes: Sequence[str] | None,
) -> Iterator[RuleMove]:
    """The first single decision that reproduces every sample of one side in the other side's code."""
    (of_baseline, of_candidate), (base, own) = wanted, checkouts
    for checkout, side in ((own, of_baseline), (base, of_candidate)):
        whole = [one for one in _asked(checkout, before, side, lanes, None) if one["confirmed"] == len(side)]
        if whole:
            flips = tuple(_flipped(name, flip, there=checkout is base) for flip in whole[0]["flips"])
            yield RuleMove(flips=flips, declared=False, tried=len(side), confirmed=len(side))
            return


def _flipped(name: str, flip: Sequence[str], *, there: bool) -> Flipped:
    """A flip made here names the value before, one made in the base revision the value now."""
    field, own, tried = flip
    return Flipped(name, field, own, tried) if there else Flipped(name, field, tried, own)


def _asked(
    checkout: Runs, run: Run, wanted: Iterable[Sample], lanes: Sequence[str] | None, flips: object
) -> list[dict[str, Any]]:
    """The answer of parity.gate.reproduce in a checkout; [] from one that has no such module."""
    request = {**_request(run, wanted, lanes), "flips": flips}
    if not request["samples"]:
        return []
    done = checkout.python("-m", "parity.gate.reproduce", stdin=json.dumps(request))
    answer: list[dict[str, Any]] = [] if done.returncode else json.loads(done.stdout)
    return answer


def _request(run: Run, wanted: Iterable[Sample], lanes: Sequence[str] | None) -> dict[str, Any]:
    samples_told = [sample.to_json() for sample in wanted]
    return {
        "run": str(Path(run.directory).resolve()),
        "lanes": None if lanes is None else list(lanes),
        "samples": samples_told,
    }


def _declared(checkout: Runs) -> Declared:
    """{} from a revision whose rule sets are elsewhere."""
    done = checkout.python("-c", _DECLARED)
    declared: Declared = {} if done.returncode else json.loads(done.stdout)
    return declared
