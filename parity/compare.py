"""parity.compare(lane_a, lane_b, scheme): one tensor, a layer, or a model layer by layer, bit for bit and by stages."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

import torch
from torch import Tensor, nn

from parity.backends.protocol import Backend, Declares
from parity.backends.registry import backend_named
from parity.comparison import Comparison, worst
from parity.diff import diff_traces
from parity.edges import EXACT
from parity.failure import failure
from parity.judge import judge
from parity.lane_run import LaneRun, attempt, followed
from parity.lanes import Flow, Lane, lane
from parity.layer_cases import DTYPES, FAMILIES, LayerCase, Recipe, layer_cases
from parity.listening import heard
from parity.operated import Operates
from parity.pair import Case, Pair, Side
from parity.record import ByStage
from parity.verdicts import Outcome, Verdict
from quant import QuantScheme, rules_named

LaneLike = Lane | str | Backend

# Inputs beside the compared ones, from which an explanation tells decisions apart: (family, seeds after the given one).
SIBLINGS: Final = (("directed", 1), ("directed", 2), ("ties", 0), ("ties", 1), ("eps_edge", 0), ("outlier", 0))


def compare(
    lane_a: LaneLike,
    lane_b: LaneLike,
    scheme: QuantScheme,
    dtype: torch.dtype = torch.bfloat16,
    inputs: str | Tensor = "directed",
    seed: int = 0,
    module: nn.Module | None = None,
) -> Comparison:
    """Both lanes on the same layer, every common stage held against the other's, bit for bit.

    A lane is a Lane, its text, or a Backend (its PTQ on cpu), which need not be registered; a lane's own rules replace
    the scheme's. inputs "directed" aims at the places where formulas part under this scheme, "random" does not; a
    tensor is used as it is. module None: a linear layer of 32x64, or, of a tensor given as inputs, the layer that
    has it as weight and as input. With a model every nn.Linear and nn.Embedding is compared, and the worst is returned.
    Weights, bias and inputs are rounded once to dtype (float32, bfloat16 or float16).

    What a lane raises is in the record: UNSUPPORTED when both refuse the scheme with ValueError, DIVERGED when one
    does. Raises ValueError for a lane, dtype, inputs or module that is none.
    """
    if dtype not in DTYPES:
        raise ValueError(f"dtype is {dtype}; layers are compared in {', '.join(map(str, DTYPES))}")
    if isinstance(inputs, str) and inputs not in FAMILIES:
        raise ValueError(f"inputs is {inputs!r}; it must be {' or '.join(map(repr, FAMILIES))} or a tensor")
    sides = (_Side.of(lane_a, scheme), _Side.of(lane_b, scheme))
    given = inputs if isinstance(inputs, Tensor) else None
    recipe = Recipe(
        family="directed" if given is not None else str(inputs),
        seed=seed,
        dtype=dtype,
        schemes=tuple(dict.fromkeys(side.scheme for side in sides)),
    )
    told = "inputs" if given is not None else f'"{inputs}"'
    of_module = "" if module is None else ", module=module"
    lanes = f'"{sides[0].lane}", "{sides[1].lane}"'
    rerun = f"parity.compare({lanes}, scheme, dtype={dtype}, inputs={told}, seed={seed}{of_module})"
    drawn = "inputs given" if given is not None else f"{inputs} inputs of seed {seed}"
    cases = layer_cases(module, given, recipe)
    aims = () if module is not None or given is not None else SIBLINGS
    siblings = tuple(replace(recipe, family=family, seed=seed + more) for family, more in aims)
    found = {case.name: _compared(sides, case, f"{case.text}, {drawn}", rerun, siblings) for case in cases}
    return heard(found[""] if found.keys() == {""} else worst(found))


def assert_identical(
    lane_a: LaneLike,
    lane_b: LaneLike,
    scheme: QuantScheme,
    dtype: torch.dtype = torch.bfloat16,
    inputs: str | Tensor = "directed",
    seed: int = 0,
    module: nn.Module | None = None,
) -> Comparison:
    """compare(...) with the verdict IDENTICAL, or AssertionError: case, first stage, index, values, cause, rerun.

    Lanes that could not be compared (no such device, a scheme that both refuse) are not identical.
    """
    __tracebackhide__ = True
    record = compare(lane_a, lane_b, scheme, dtype, inputs, seed, module)
    if record.verdict is not Verdict.IDENTICAL:
        raise AssertionError(failure(record))
    return record


@dataclass(frozen=True, slots=True)
class _Side:
    """One lane, who runs it, and the scheme under its rules."""

    lane: Lane
    backend: Backend
    scheme: QuantScheme

    @classmethod
    def of(cls, named: LaneLike, scheme: QuantScheme) -> _Side:
        if isinstance(named, type) or not isinstance(named, Lane | str | Backend):
            raise ValueError(f"{named!r} is no lane; give a Lane, its text, or an object with all of parity.Backend")
        if isinstance(named, Lane | str):
            chosen = lane(named)
            backend = backend_named(chosen.backend)
        else:  # the object itself, whatever backend has its name
            chosen, backend = Lane(backend=named.name, flow=Flow.PTQ), named
        return cls(chosen, backend, scheme if chosen.rules is None else _under(scheme, chosen.rules))

    def declared(self, layer: nn.Module) -> Side:
        """The lane with the scheme under the rules that its backend is declared to follow; it trains nothing."""
        rules = followed(self.lane)
        if isinstance(self.backend, Declares):
            scheme = self.backend.declared(self.lane, layer, self.scheme)
        else:
            scheme = self.scheme if rules in (None, "engine") else _under(self.scheme, rules)
        operated = self.backend.operated if isinstance(self.backend, Operates) else None
        return Side(lane=self.lane, scheme=scheme, training=scheme, operated=operated)

    def run(self, case: LayerCase, text: str, digest: str) -> LaneRun:
        device = self.lane.device
        return attempt(
            self.lane,
            self.backend.unrun(self.lane),
            lambda: self.backend.trace(self.lane, case.layer.to(device), case.x.to(device), self.scheme),
            cell_id=text,
            input_digest=digest,
        )


def _under(scheme: QuantScheme, name: str) -> QuantScheme:
    """The scheme carried out by a named rule set. Raises ValueError where that set excludes the scheme."""
    rules, product = rules_named(name)
    activation = None if scheme.activation is None else replace(scheme.activation, rules=rules)
    return replace(scheme, weight=replace(scheme.weight, rules=rules), activation=activation, product=product)


def _compared(
    sides: tuple[_Side, _Side], case: LayerCase, text: str, rerun: str, siblings: Sequence[Recipe]
) -> Comparison:
    digest = case.input_digest
    a, b = (side.run(case, text, digest) for side in sides)
    diffs = ByStage() if a.trace is None or b.trace is None else diff_traces(a.trace, b.trace)
    again = None
    if any(not diff.identical for diff in diffs):
        again = (sides[0].run(case, text, digest).record, sides[1].run(case, text, digest).record)
    refused = all(
        run.record.outcome is Outcome.RAISED and run.record.message.startswith("ValueError: ") for run in (a, b)
    )
    edge = f"{sides[0].lane}~{sides[1].lane}"
    record = judge(a.record, b.record, diffs, edge=edge, contract_text=EXACT, legal=not refused, again=again)
    return Comparison(
        cell=text,
        edge=edge,
        verdict=record.verdict,
        contract=record.contract,
        first_stage=record.first_stage,
        stages=ByStage(diff for diff in diffs if not diff.one_sided),
        signature=record.signature,
        message=record.message,
        lanes=(a.record, b.record),
        rerun=rerun,
        pair=lambda: _pair(sides, case, siblings),
    )


def _pair(sides: tuple[_Side, _Side], case: LayerCase, siblings: Sequence[Recipe]) -> Pair:
    """Both lanes on the compared case and on its siblings; one on which a lane does not run is left out.

    Raises ValueError where a lane does not run on the compared case.
    """
    cases = [case, *(other for recipe in siblings for other in layer_cases(None, None, recipe))]
    a, b = sides
    digests = [each.input_digest for each in cases]
    runs = [
        (a.run(each, each.text, digest), b.run(each, each.text, digest))
        for each, digest in zip(cases, digests, strict=True)
    ]
    made = [Case(layer=each.layer, x=each.x) for each in cases]
    return Pair.of_runs(made, runs, (a.declared(case.layer), b.declared(case.layer)))
