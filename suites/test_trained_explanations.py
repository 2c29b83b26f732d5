"""Lanes that train before they part: the cause reproduces what each has trained, or none is named."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

import parity
from parity.backends.engine import EngineBackend
from parity.backends.protocol import Declares
from parity.causes import causes_of
from parity.cell_pair import cell_pair
from parity.cells import parse_cell
from parity.counter import words
from parity.edges import triangle
from parity.evaluate import evaluate
from parity.explain import accounts_for
from parity.explanation import Cause, Explanation
from parity.lanes import Flow, Lane
from parity.trace import Trace
from quant import QuantScheme
from suites.meta.defects import Change, activation_rules, weight_rules

EDGE = "engine:ptq~engine:qat_convert"
WEIGHT_ONLY = "preset:intx_weight_only,dtype:bf16,family:random,steps:1"
FLOAT_DOMAIN = "preset:int4_weight_only,dtype:bf16,steps:3"
PRODUCT = Cause("gradient_product", "identity", "scale_over_scale")

Spoil = Callable[[str, Tensor], Tensor]


def as_it_is(stage: str, value: Tensor) -> Tensor:
    return value


def plant(monkeypatch: pytest.MonkeyPatch, change: Change = lambda scheme: scheme, spoil: Spoil = as_it_is) -> None:
    """Let the engine's convert lane train and carry out another scheme, and spoil its stages or its trained weight."""
    trace_of, trained_of = EngineBackend.trace, EngineBackend.trained

    def trained(
        self: EngineBackend, lane: Lane, layer: nn.Module, x: Tensor, scheme: QuantScheme, steps: int
    ) -> nn.Module:
        if lane.flow is not Flow.QAT_CONVERT:
            return trained_of(self, lane, layer, x, scheme, steps)
        found = trained_of(self, lane, layer, x, change(scheme), steps)
        assert isinstance(found.weight, Tensor)
        found.weight.data = spoil("trained", found.weight.data)
        return found

    def trace(
        self: EngineBackend,
        lane: Lane,
        layer: nn.Module,
        x: Tensor,
        scheme: QuantScheme,
        steps: int = 0,
        *,
        gradients: bool = False,
    ) -> Trace:
        if lane.flow is not Flow.QAT_CONVERT:
            return trace_of(self, lane, layer, x, scheme, steps, gradients=gradients)
        if steps:
            layer = trained(self, lane, layer, x, scheme, steps)
        computed = trace_of(self, lane, layer, x, change(scheme))
        return Trace(replace(stage, tensor=spoil(stage.name, stage.tensor)) for stage in computed)

    monkeypatch.setattr(EngineBackend, "trained", trained)
    monkeypatch.setattr(EngineBackend, "trace", trace)


def explained(cell: str, edge: str = EDGE) -> Explanation:
    return parity.explain(cell, edge)


# --- causes -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("cell", "values", "shows_at"),
    [
        (WEIGHT_ONLY, {"gradient_product": "scale_over_scale"}, "weight.codes"),
        (WEIGHT_ONLY, {"code_rounding": "truncate"}, "weight.scale"),
        (
            WEIGHT_ONLY,
            {"code_division": "reciprocal_multiply", "gradient_product": "scale_times_reciprocal"},
            "weight.scale",
        ),
        ("preset:intx_weight_only,op:embedding,steps:1", {"gradient_mask": "none"}, "weight.scale"),
        ("preset:intx_weight_only,bits:2,family:random,steps:3", {"gradient_mask": "unrounded"}, "weight.scale"),
        (FLOAT_DOMAIN, {"float_gradient_product": "scale_over_scale"}, "weight.scale"),
        (FLOAT_DOMAIN, {"rescale_intermediate": "output"}, "weight.dequantized"),
        ("preset:intx_weight_only,family:random,steps:1", {"gradient_product": "scale_over_scale"}, None),
    ],
)
def test_a_decision_is_found_by_training_with_it(
    cell: str, values: dict[str, str], shows_at: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of gradients, which no forward stage shows, or of the forward pass; None = it moves nothing here."""
    plant(monkeypatch, weight_rules(**values))
    found = explained(cell)
    assert found.first_stage == shows_at
    causes = {(cause.field, cause.value_b) for cause in found.causes}
    assert causes == (set() if shows_at is None else {*values.items()}), found.sentence
    assert found.explained == 1.0


def test_a_decision_of_the_input_moves_the_weight_that_was_trained_with_it(monkeypatch: pytest.MonkeyPatch) -> None:
    plant(monkeypatch, activation_rules(code_rounding="truncate"))
    cell = "family:random,steps:1"
    pair = cell_pair(cell, EDGE)
    assert not torch.equal(pair.a.cases[0].weight, pair.b.cases[0].weight)
    assert explained(cell).sentence == "input.codes first; explained by code_rounding: half_even against truncate"
    cause = Cause("code_rounding", "half_even", "truncate")
    assert accounts_for(pair, [cause])
    assert not accounts_for(pair, [cause._replace(value_b="half_away")])


def test_what_was_trained_apart_is_what_the_stages_inherit(monkeypatch: pytest.MonkeyPatch) -> None:
    plant(monkeypatch, weight_rules(gradient_product="scale_over_scale"))
    found = explained(WEIGHT_ONLY)
    assert found.given == "trained weights"
    assert {found.first_stage, "output"} <= {*found.inherited}


@pytest.mark.parametrize("cell", ["steps:1", "op:embedding,steps:1", "preset:int4_weight_only,dtype:bf16,steps:3"])
def test_named_sets_are_told_apart_after_training(cell: str) -> None:
    found = explained(cell, "engine:ptq~engine.torchao:qat_convert")
    told = {cause.field for cause in found.causes}
    assert told & {"gradient_product", "float_gradient_product"}, found.sentence
    assert told & {"code_division", "float_rescale_dtype"}
    assert found.explained == 1.0


def test_a_known_divergence_of_torchao_is_explained_trained_as_it_is_untrained() -> None:
    """QATConfig's asymmetric fake quantizer, whose weights the engine trains alike under the cause."""
    cell = "dtype:bf16,mapping:asymmetric"
    edge = "torchao:qat_prepare~engine.torchao:qat_prepare"
    trained, untrained = explained(f"{cell},steps:1", edge), explained(cell, edge)
    assert trained.sentence == untrained.sentence
    assert ("zero_point_rule", "from_value", "from_min") in trained.causes


def test_a_run_writes_the_cause_into_the_records_of_trained_cells(monkeypatch: pytest.MonkeyPatch) -> None:
    plant(monkeypatch, weight_rules(gradient_product="scale_over_scale"))
    cells = (WEIGHT_ONLY, WEIGHT_ONLY.replace("steps:1", "steps:3"))
    records = [
        record
        for cell in cells
        for record in evaluate([parse_cell(cell)], lambda _: triangle("engine")).edges
        if record.edge == EDGE
    ]
    found = causes_of(records, 60.0)
    assert [found.causes[record.cell, record.edge] for record in records] == [str(PRODUCT)] * 2


# --- what no decision explains ------------------------------------------------------------------------------------


def noisy(stage: str, value: Tensor) -> Tensor:
    """One code in about a hundred is one step off."""
    chosen = (words(7, value.numel()).reshape(value.shape) >> 8) % 100 == 0
    return torch.where(chosen, value ^ 1, value) if stage == "weight.codes" else value


def stochastic(stage: str, value: Tensor) -> Tensor:
    """Half the codes are rounded the other way, by a coin."""
    coin = (words(11, value.numel()).reshape(value.shape) >> 9) % 2
    return (value + coin.to(value.dtype)).clamp(max=int(value.max())) if stage == "weight.codes" else value


def seven_bits(stage: str, value: Tensor) -> Tensor:
    """A sum that wraps around at 7 bits, of a 64th."""
    return (torch.remainder(value * 64 + 64, 128) - 64) / 64 if stage == "output" else value


def swapped(stage: str, value: Tensor) -> Tensor:
    """The first two rows of what was trained in each other's place."""
    return value[[1, 0, *range(2, len(value))]] if stage == "trained" else value


def trained_faster(stage: str, value: Tensor) -> Tensor:
    """As under a rate that is another one: no scheme says it."""
    return value + value.sign() * 2.0**-9 if stage == "trained" else value


def one_weight_off(stage: str, value: Tensor) -> Tensor:
    if stage != "trained":
        return value
    value = value.clone()
    value[3, 5] += 2.0**-7
    return value


@pytest.mark.parametrize(
    "spoil",
    [
        *(noisy, swapped, one_weight_off),
        *(pytest.param(spoil, marks=pytest.mark.nightly) for spoil in (stochastic, seven_bits, trained_faster)),
    ],
)
@pytest.mark.parametrize(
    "cell", [WEIGHT_ONLY, pytest.param("dtype:bf16,family:random,steps:3", marks=pytest.mark.nightly)]
)
def test_what_no_decision_explains_has_no_cause_after_training(
    spoil: Spoil, cell: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    plant(monkeypatch, spoil=spoil)
    found = explained(cell)
    assert found.first_stage is not None
    assert found.causes == found.undetermined == ()
    assert found.explained < 1
    assert "unexplained" in found.sentence


def test_a_true_cause_beside_weights_trained_otherwise_is_not_named(monkeypatch: pytest.MonkeyPatch) -> None:
    plant(monkeypatch, weight_rules(code_rounding="truncate"), one_weight_off)
    found = explained(WEIGHT_ONLY)
    assert found.causes == ()
    assert found.explained < 1


# --- what cannot be explained -------------------------------------------------------------------------------------


def test_a_scale_that_is_learned_is_said_to_be() -> None:
    found = explained("act:learned,steps:1", "engine:ptq~engine.torchao:ptq")
    assert "unexplained: the activation's scale is learned in training" in found.sentence


def test_a_lane_that_keeps_its_weights_to_itself_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("parity.cell_pair.Trains", Declares)  # which the engine is not
    with pytest.raises(ValueError, match=r"engine:ptq does not hand out .* explain 'default' instead"):
        explained("steps:1")
