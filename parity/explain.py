"""parity.explain(record): where two lanes part first, what is inherited, and which decisions make one the other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import product
from typing import Final

from parity.attribution import Attribution, attribute, needed
from parity.blames import OPERANDS, right_lane
from parity.candidates import Candidates, OperandCandidates, ProductCandidates, reproduces
from parity.cell_pair import cell_pair
from parity.cells import parse_cell
from parity.comparison import Comparison
from parity.evaluate import InputsOf, evaluate
from parity.explanation import Cause, Explanation
from parity.flips import Flip, Flips
from parity.gradient_candidates import OPERAND_OF, GradientCandidates
from parity.inputs import make_inputs
from parity.lanes import Flow
from parity.operation_candidates import OperationCandidates
from parity.pair import Pair
from parity.record import EdgeRecord
from parity.retraining import Combination, Retraining, trained_apart
from parity.stand_alone import stand_alone
from parity.transplant import inherited, inherited_by_training
from quant.statistic import Learned

# Sets that fit alike are listed up to here; a list that long says that the inputs tell them not apart.
_ALTERNATIVES: Final = 8


def explain(
    record_or_cell: EdgeRecord | str, edge: str | None = None, inputs_of: InputsOf | None = None
) -> Explanation:
    """Why the two lanes of a comparison, of a run's record, or of a cell's edge part.

    A Comparison is explained from its own lanes and inputs; a record or a cell's id is computed again, with other
    inputs of its configuration beside it. For a cell, edge names any two lanes: "engine:ptq~engine.torchao:ptq".
    inputs_of (a parity.weights.Source) reads the layer of a cell that names one.
    Raises ValueError for what is no cell or no lane, and for lanes that did not both run.
    """
    if isinstance(record_or_cell, Comparison):
        chosen = record_or_cell
        return explain_pair(chosen.pair(), cell=chosen.cell, edge=chosen.edge)
    if isinstance(record_or_cell, EdgeRecord):
        cell, edge = record_or_cell.cell, record_or_cell.edge
    else:
        cell = record_or_cell
    if edge is None:
        raise ValueError(f"the cell {cell!r} has several lanes; name two as edge, like 'engine:ptq~engine.torchao:ptq'")
    return explain_pair(cell_pair(cell, edge, inputs_of=inputs_of), cell=cell, edge=edge)


def explain_pair(pair: Pair, *, cell: str, edge: str) -> Explanation:
    """The same from two lanes whose tensors are at hand; the first case is the one explained."""
    first = pair.first_stage
    found = Explanation(
        cell=cell, edge=edge, causes=(), undetermined=(), explained=1.0, first_stage=first, reason="nothing differs"
    )
    if first is None:
        return replace(found, reason=f"{pair.a.lane} and {pair.b.lane} have equal bits at every stage")
    found = replace(found, explained=0.0, reason="", right=right_lane(pair, first))
    base = pair if _follows(pair, pair.a.lane.flow) else pair.swapped
    if base is not pair and not _follows(base, base.a.lane.flow):
        return replace(found, reason=_without_start(pair))
    sets, explained = _attributed(base)
    causes = [_swapped(each) if base is not pair else each for each in sets]
    of_layer = pair.a.operated is None
    if causes:
        script = stand_alone(pair, first, causes[0]) if of_layer else None
        found = replace(found, causes=causes[0], undetermined=tuple(causes[1:]), script=script)
    if not of_layer:
        return replace(found, explained=explained)
    if trained_apart(pair) and not first.startswith("input."):
        healed, given = inherited_by_training(pair, pair.b.scheme), "trained weights"
    else:
        healed, given = inherited(pair, first, pair.b.scheme), first
    return replace(found, explained=explained, given=given, inherited=healed)


def _without_start(pair: Pair) -> str:
    """Why no flip of a lane's scheme can be tried."""
    activations = (pair.a.scheme.activation, pair.b.scheme.activation)
    if pair.steps and any(each is not None and isinstance(each.statistic, Learned) for each in activations):
        return "the activation's scale is learned in training, and a stage holds it only as it was rounded"
    return "neither lane is what the engine makes of the scheme it declares, so there is nothing to start from"


def accounts_for(pair: Pair, causes: Sequence[Cause]) -> bool:
    """Whether these decisions alone give one lane the other's bits, at every stage and in every case of the pair."""
    base, told = pair, tuple(causes)
    if not _follows(pair, pair.a.lane.flow):
        base, told = pair.swapped, _swapped(told)
        if not _follows(base, base.a.lane.flow):
            return False
    flips = [(part, _reproducing(part, told)) for part in _parts(base, base.b.lane.flow).values()]
    chosen = tuple((part, own) for part, own in flips if own is not None)
    retraining = Retraining.of(base)
    if retraining is None or len(chosen) < len(flips):
        return len(chosen) == len(flips)
    return retraining.reproduces(chosen, retraining.gradient_flips([(field, value) for field, _, value in told]))


def _reproducing(part: Candidates, causes: Sequence[Cause]) -> Flips | None:
    """Those of the causes that act on a part, or none: a decision may differ in one operand alone. None: neither."""
    tried = (_flips_of(part, causes), ())
    return next((flips for flips in tried if reproduces(part, flips, part.stages[-1])), None)


def _flips_of(part: Candidates, causes: Sequence[Cause]) -> Flips:
    """Those of the causes that can act on a part."""
    known = (*part.single((), part.stages[-1]), *(flip for joint in part.joint for flip in joint))
    return tuple({flip.field: flip for flip in known if _cause(part, flip) in causes}.values())


def _parts(pair: Pair, flow: Flow) -> dict[str, Candidates]:
    """What is explained apart: each operand, the product of B's operands, their gradients; A's scheme in a flow.

    An operation of quantized tensors is explained as a whole.
    """
    if pair.a.operated is not None:
        return {"operation": OperationCandidates.of(pair)}
    parts: dict[str, Candidates] = {
        operand: OperandCandidates.of(pair, operand, flow) for operand in OPERANDS if pair.operand_stages(operand)
    }
    if "output" in pair.stages:
        parts["output"] = ProductCandidates.of(pair)
    return parts | {stage: GradientCandidates.of(pair, stage) for stage in OPERAND_OF if stage in pair.stages}


def _follows(pair: Pair, flow: Flow) -> bool:
    """Whether the engine, under what lane A declares and in this flow, gives A's bits at every stage in every case."""
    alone = replace(pair, b=pair.a)
    try:
        parts = _parts(alone, flow)
    except ValueError:
        return False
    retraining = Retraining.of(alone)
    trained = retraining is None or retraining.reproduces(())
    return trained and all(reproduces(part, (), part.stages[-1]) for part in parts.values())


def _attributed(pair: Pair) -> tuple[list[tuple[Cause, ...]], float]:
    """The smallest sets of causes for all parts together, and the share of differing elements they reproduce."""
    parts = _parts(pair, pair.b.lane.flow)
    found = {name: attribute(part) for name, part in parts.items()}
    if any(attribution.unexplained is not None for attribution in found.values()):
        return [], _share(pair, parts, found)
    chosen = [[(part, flips) for flips in found[name].sets[:_ALTERNATIVES]] for name, part in parts.items()]
    retraining = Retraining.of(pair)
    if retraining is None:
        fewer = [[(part, needed(part, flips, 0)) for part, flips in sets] for sets in chosen]
        told = [_causes(combination) for combination in product(*fewer)]
    else:
        trained = retraining.reproducing(tuple(product(*chosen)))
        if not trained:
            return [], _share(pair, parts, found, retrained=False)
        told = [_trained_causes(retraining, *each) for each in trained]
    flows = (pair.a.lane.flow, pair.b.lane.flow)
    moved = () if flows[0] is flows[1] or _follows(pair, flows[1]) else (Cause("flow", *map(str, flows)),)
    sets = {frozenset(causes): moved + causes for causes in reversed(told)}
    fewest = min(map(len, sets))
    return [causes for causes in reversed(sets.values()) if len(causes) - len(moved) == fewest][:_ALTERNATIVES], 1.0


def _trained_causes(retraining: Retraining, combination: Combination, gradient: Flips) -> tuple[Cause, ...]:
    """The causes of a set that reproduces what was trained, without what the case to be explained can do without."""
    fewer = tuple((part, needed(part, flips, 0)) for part, flips in combination)
    options = ((fewer, ()), (fewer, gradient), (combination, gradient))
    parts, flips = next(each for each in options if retraining.reproduces(*each, case=0))
    of_gradients = (Cause(flip.field, retraining.value(flip.field), flip.value) for flip in flips)
    return tuple(dict.fromkeys((*_causes(parts), *of_gradients)))


def _causes(combination: Sequence[tuple[Candidates, Flips]]) -> tuple[Cause, ...]:
    """One cause a decision, however many parts it acts in."""
    told = [_cause(part, flip) for part, flips in combination for flip in flips]
    return tuple(dict.fromkeys(told))


def _cause(part: Candidates, flip: Flip) -> Cause:
    return Cause(flip.field, part.value(flip.field), flip.value)


def _swapped(causes: tuple[Cause, ...]) -> tuple[Cause, ...]:
    return tuple(Cause(field, b, a) for field, a, b in causes)


def _share(pair: Pair, parts: dict[str, Candidates], found: dict[str, Attribution], *, retrained: bool = True) -> float:
    """Reproduced elements over differing ones, below 1; stages after an unexplained one count as not reproduced.

    Where what was trained is not retrained, no stage of the weight is reproduced, nor what follows from it.
    """
    total = reproduced = 0
    for name, part in parts.items():
        lost = found[name].unexplained
        for stage in part.stages:
            different = pair.diff(stage).n_different
            total += different
            if not retrained and name != "input":
                continue
            if lost is None or part.stages.index(stage) < part.stages.index(lost):
                reproduced += different
            elif stage == lost:
                reproduced += max(0, different - found[name].remaining)
    return min(reproduced, total - 1) / total if total else 0.0


def differing_edges(cell_id: str, inputs_of: InputsOf | None = None) -> tuple[str, ...]:
    """The declared edges of a cell whose lanes both run on its own inputs and part there."""
    found = evaluate([parse_cell(cell_id)], inputs_of=inputs_of or make_inputs)
    return tuple(record.edge for record in found.edges if record.stages)
