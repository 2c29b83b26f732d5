"""python -m parity.gate.reproduce < REQUEST: which changes of a rule give samples the digests that are wanted.

    request   {"run": DIR, "lanes": [...] or null, "samples": [...], "flips": [[[FIELD, VALUE], ...], ...] or null}
    answer    [{"flips": [[FIELD, VALUE HERE, VALUE], ...], "confirmed": N}, ...]

run = the one whose aims are taken, lanes = those it was limited to. Sets of flips are tried as they are given; with
null, every decision alone at each of its other values. The answer names those that confirm at least one sample, the
best first. It runs in a process of its own because the code is another revision's.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from parity.aims import CarriedInputs
from parity.backends.registry import backend_named
from parity.cases import input_of, layer_of
from parity.cells import Cell, parse_cell
from parity.evaluate import aimed_schemes, lanes_that_run
from parity.gate.samples import Sample
from parity.inputs import Inputs
from parity.lane_run import rules_of, stage_records
from parity.lanes import Lane, parse_lane
from parity.run import EvaluateChunk
from parity.schemes import scheme_of
from parity.trace import Trace
from quant import ProductRules, QuantScheme, Rules, rules_named
from quant.rules import enumeration_of

Flips = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """A sample with its inputs made."""

    wanted: Sample
    cell: Cell
    lane: Lane
    inputs: Inputs

    @classmethod
    def of(cls, sample: Sample, request: Mapping[str, Any]) -> Prepared:
        """The case that the baseline's run had."""
        cell = parse_cell(sample.cell)
        inputs = inputs_of(cell, Path(request["run"]), request["lanes"])
        return cls(wanted=sample, cell=cell, lane=parse_lane(sample.lane), inputs=inputs)

    def trace(self, flips: Flips = ()) -> Trace:
        """The lane's stages with these decisions changed. Raises ValueError where they exclude another, or the cell."""
        scheme = flipped(scheme_of(self.cell, rules_of(self.lane)), flips)
        layer = layer_of(self.cell, self.inputs, self.lane.device)
        x = input_of(self.cell, self.inputs, self.lane.device)
        return backend_named(self.lane.backend).trace(self.lane, layer, x, scheme, int(self.cell["steps"]))

    def confirms(self, flips: Flips) -> bool:
        """Whether the lane has the wanted digests at every stage once these decisions are changed."""
        try:
            records = stage_records(self.trace(flips))
        except ValueError:
            return False
        return {stage.stage: stage.digest for stage in records} == self.wanted.digests


def inputs_of(cell: Cell, run: Path, lanes: Sequence[str] | None) -> Inputs:
    """The inputs that the run gave the cell: its aims, at the schemes of every lane it has there."""
    found = lanes_that_run(EvaluateChunk.between(lanes).edges_of(cell))
    return CarriedInputs(run)([cell], aimed_schemes(cell, found))


def flipped(scheme: QuantScheme, flips: Flips) -> QuantScheme:
    """The scheme with decisions at other values, in both operands and the product. Raises ValueError."""
    rules = {field: value for field, value in flips if field in Rules.decisions()}
    product = {field: value for field, value in flips if field in ProductRules.decisions()}
    activation = scheme.activation
    if rules:
        weight = replace(scheme.weight, rules=scheme.weight.rules.with_values(**rules))
        if activation is not None:
            activation = replace(activation, rules=activation.rules.with_values(**rules))
        scheme = replace(scheme, weight=weight, activation=activation)
    return replace(scheme, product=scheme.product.with_values(**product)) if product else scheme


def single_flips(name: str) -> Iterator[Flips]:
    """Every decision of a named set at each of its other values."""
    for rules in rules_named(name):
        kind: type = type(rules)
        for field in rules.decisions():
            own = getattr(rules, field)
            yield from (((field, value.value),) for value in enumeration_of(kind, field) if value != own)


def answer(request: Mapping[str, Any]) -> list[dict[str, Any]]:
    """What the process prints. All samples are of lanes with one named rule set."""
    prepared = [Prepared.of(Sample(**sample), request) for sample in request["samples"]]
    name = prepared[0].wanted.rules
    given = request["flips"]
    tried: Iterator[Flips] | Sequence[Flips]
    tried = single_flips(name) if given is None else [tuple((field, value) for field, value in one) for one in given]
    found = []
    for flips in tried:
        if given is None and not prepared[0].confirms(flips):
            continue
        confirmed = sum(sample.confirms(flips) for sample in prepared)
        if confirmed:
            told = [[field, _own(name, field), value] for field, value in flips]
            found.append({"flips": told, "confirmed": confirmed})
    return sorted(found, key=lambda one: -one["confirmed"])


def _own(name: str, field: str) -> str:
    rules, product = rules_named(name)
    return str(getattr(rules if field in Rules.decisions() else product, field))


def main() -> None:
    torch.set_num_threads(1)
    with torch.no_grad():
        print(json.dumps(answer(json.load(sys.stdin))))


if __name__ == "__main__":
    main()
