"""The rule set `torchao` gives torchao 0.18's bits in every flow, and where torchao's own flows part is pinned down."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from parity.backends.engine import EngineBackend
from parity.backends.protocol import NotExpressible
from parity.backends.torchao import Torchao8da4wBackend, TorchaoBackend
from parity.backends.torchao_package import unusable
from parity.diff import diff_stage, diff_traces
from parity.lanes import Flow, Lane
from parity.record import StageDiff
from parity.signature import ulp_class
from parity.trace import Trace
from quant import Mapping, QuantScheme, presets
from suites.aimed_layers import COLUMNS, INDICES, layer_for, tokens_for

pytestmark = pytest.mark.skipif(unusable() is not None, reason=unusable() or "")

ENGINE, TORCHAO, LEGACY = EngineBackend(), TorchaoBackend(), Torchao8da4wBackend()
DTYPES = (torch.float32, torch.bfloat16, torch.float16)
SCALES = ("model", torch.float32, torch.bfloat16, torch.float16, torch.float64)
GROUPS = (32, 64, None)
MAPPINGS = (Mapping.SYMMETRIC, Mapping.SYMMETRIC_NO_CLIPPING, Mapping.ASYMMETRIC)
KINDS = ("weight_only", "dynamic", "embedding")
QAT_FLOWS = (Flow.QAT_PREPARE, Flow.QAT_CONVERT)

# A flow that has no counterpart of a configuration of this suite: (flow, mapping or None, scale dtype or None).
NO_RESULT = {
    (Flow.PTQ, None, torch.float64): "IntxUnpackedToInt8Tensor holds scales in float32, bfloat16 and float16",
    (Flow.QAT_CONVERT, None, torch.float64): "the convert step makes the same tensor",
    (Flow.QAT_PREPARE, Mapping.SYMMETRIC_NO_CLIPPING, None): "IntxFakeQuantizeConfig refuses the mapping",
    (Flow.QAT_CONVERT, Mapping.SYMMETRIC_NO_CLIPPING, None): "what cannot be prepared cannot be converted",
}

# The fake quantizer's asymmetric qparams are tinygemm's, cut to integers and used with signed bounds (ao #2085).
OTHER_BY_DESIGN = {(Flow.QAT_PREPARE, Mapping.ASYMMETRIC): ("weight.scale", "weight.zero_point")}


def both(
    backend: TorchaoBackend | Torchao8da4wBackend,
    flow: Flow,
    layer: nn.Module,
    x: Tensor,
    scheme: QuantScheme,
    steps: int = 0,
) -> tuple[Trace, Trace]:
    """The same flow of torchao and of the engine under the rule set `torchao`."""
    foreign = backend.trace(Lane(backend=backend.name, flow=flow), layer, x, scheme, steps)
    own = ENGINE.trace(Lane(backend="engine", rules="torchao", flow=flow), layer, x, scheme, steps)
    assert foreign.names == own.names
    assert [stage.computed for stage in foreign] == [stage.computed for stage in own]
    return foreign, own


def first_difference(a: Trace, b: Trace) -> StageDiff | None:
    return next((diff for diff in diff_traces(a, b) if not diff.identical), None)


def said(diff: StageDiff | None) -> str:
    """What an assertion shows of a difference."""
    return "" if diff is None else f"{diff.stage}: {diff.n_different} of {diff.n_total}, first {diff.first}"


def configurations(bits: int) -> Iterator[tuple[QuantScheme, bool]]:
    """Every scheme of the sweep with these bits, and whether it is tried on an embedding."""
    for group_size, mapping, scale_dtype, kind in product(GROUPS, MAPPINGS, SCALES, KINDS):
        if bits == 1 and mapping is Mapping.SYMMETRIC_NO_CLIPPING:
            continue  # the grid [-1, 0] has no positive end: no scheme
        preset = presets.int8_dynamic_intx_weight if kind == "dynamic" else presets.intx_weight_only
        scheme = preset(bits=bits, group_size=group_size, mapping=mapping, scale_dtype=scale_dtype, rules="torchao")
        yield scheme, kind == "embedding"


def has_result(flow: Flow, scheme: QuantScheme) -> bool:
    mapping, scale_dtype = scheme.weight.mapping, scheme.weight.scale_dtype
    return (flow, mapping, None) not in NO_RESULT and (flow, None, scale_dtype) not in NO_RESULT


# --- the rule set is torchao --------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("bits", range(1, 9))
def test_the_rule_set_gives_torchaos_bits_at_every_stage(bits: int, dtype: torch.dtype) -> None:
    compared = dict.fromkeys(Flow, 0)
    for (scheme, embedding), flow in product(configurations(bits), Flow):
        layer = layer_for(scheme, dtype, embedding=embedding)
        x = INDICES if embedding else tokens_for(scheme, dtype)
        if not has_result(flow, scheme):
            with pytest.raises(NotExpressible):
                TORCHAO.trace(Lane(backend="torchao", flow=flow), layer, x, scheme)
            continue
        difference = first_difference(*both(TORCHAO, flow, layer, x, scheme))
        design = OTHER_BY_DESIGN.get((flow, scheme.weight.mapping))
        if design is None:
            assert difference is None, f"{flow} of {scheme.weight}: {said(difference)}"
        else:
            assert difference is not None, f"{flow} of {scheme.weight} gives the same now; strike it from the list"
            assert difference.stage in design
        compared[flow] += 1
    mappings = len(MAPPINGS) - (bits == 1)
    per_mapping_and_scale = len(GROUPS) * len(KINDS)
    assert compared == {
        Flow.PTQ: per_mapping_and_scale * mappings * (len(SCALES) - 1),
        Flow.QAT_PREPARE: per_mapping_and_scale * 2 * len(SCALES),
        Flow.QAT_CONVERT: per_mapping_and_scale * 2 * (len(SCALES) - 1),
    }


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("flow", QAT_FLOWS)
def test_the_legacy_8da4w_quantizer_is_the_preset_under_the_rule_set(flow: Flow, dtype: torch.dtype) -> None:
    for scale_dtype, group_size, embedding in product(SCALES, GROUPS, (False, True)):
        scheme = presets.int8_dynamic_int4_weight(group_size=group_size, scale_dtype=scale_dtype, rules="torchao")
        layer = layer_for(scheme, dtype, embedding=embedding)
        x = INDICES if embedding else tokens_for(scheme, dtype)
        difference = first_difference(*both(LEGACY, flow, layer, x, scheme))
        assert difference is None, f"{scheme.weight}, embedding {embedding}: {said(difference)}"


@pytest.mark.parametrize("flow", QAT_FLOWS)
@pytest.mark.parametrize("rank", [1, 2, 3, 4])
def test_inputs_of_every_rank(flow: Flow, rank: int) -> None:
    scheme = presets.int8_dynamic_intx_weight(rules="torchao")
    shape = {1: (), 2: (16,), 3: (2, 8), 4: (2, 2, 4)}[rank]
    for dtype in DTYPES:
        tokens = tokens_for(scheme, dtype)
        x = tokens[5] if rank == 1 else tokens.reshape(*shape, COLUMNS)
        difference = first_difference(*both(TORCHAO, flow, layer_for(scheme, dtype), x, scheme))
        assert difference is None, said(difference)


@pytest.mark.parametrize("eps", [1e-3, 2.0**-7])
def test_prepare_takes_any_eps_and_any_scale_dtype_of_the_activation(eps: float) -> None:
    """The PTQ configs have no words for these; IntxFakeQuantizeConfig does."""
    for dtype, activation_scale in product(DTYPES, SCALES):
        scheme = presets.int8_dynamic_intx_weight(
            activation_scale_dtype=activation_scale, weight_eps=eps, activation_eps=eps, rules="torchao"
        )
        x = tokens_for(scheme, dtype)
        difference = first_difference(*both(TORCHAO, Flow.QAT_PREPARE, layer_for(scheme, dtype), x, scheme))
        assert difference is None, f"{dtype}, {activation_scale}: {said(difference)}"


@pytest.mark.parametrize("steps", [1, 3])
@pytest.mark.parametrize("flow", Flow)
def test_training_moves_the_weights_alike(flow: Flow, steps: int) -> None:
    """torchao's gradient is the rule set's, bit for bit, also where a scale of zero makes it NaN."""
    for dtype, scale_dtype in product(DTYPES, ("model", torch.float16)):
        scheme = presets.int8_dynamic_intx_weight(scale_dtype=scale_dtype, rules="torchao")
        layer, x = layer_for(scheme, dtype), tokens_for(scheme, dtype, family="ties")
        foreign, own = both(TORCHAO, flow, layer, x, scheme, steps)
        difference = first_difference(foreign, own)
        assert difference is None, f"{dtype}, {scale_dtype}: {said(difference)}"
        untrained = TORCHAO.trace(Lane(backend="torchao", flow=flow), layer, x, scheme)
        assert not diff_stage("output", untrained["output"].tensor, foreign["output"].tensor).identical


# --- a lane is torchao's flow on the layer it was given -----------------------------------------------------------


@pytest.mark.parametrize("backend", [TORCHAO, LEGACY], ids=lambda backend: backend.name)
@pytest.mark.parametrize("steps", [0, 1])
def test_a_lane_leaves_its_layer_alone_and_repeats_itself(
    backend: TorchaoBackend | Torchao8da4wBackend, steps: int
) -> None:
    preset = presets.int8_dynamic_intx_weight if backend is TORCHAO else presets.int8_dynamic_int4_weight
    scheme = preset(rules="torchao")
    layer, x = layer_for(scheme, torch.bfloat16), tokens_for(scheme, torch.bfloat16, family="ties")
    weight, before, own = layer.weight, layer.weight.detach().clone(), dict(vars(layer))
    for flow in backend.flows:
        lane = Lane(backend=backend.name, flow=flow)
        assert first_difference(*(backend.trace(lane, layer, x, scheme, steps) for _ in range(2))) is None
    assert layer.weight is weight
    assert torch.equal(weight, before)
    assert weight.grad is None
    assert dict(vars(layer)) == own


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_the_stages_that_are_made_again_are_those_of_the_forward_pass(dtype: torch.dtype) -> None:
    """The output is the product of the operands shown, so the activation's stages are those that torchao used."""
    for backend, preset in ((TORCHAO, presets.int8_dynamic_intx_weight), (LEGACY, presets.int8_dynamic_int4_weight)):
        scheme = preset(rules="torchao")
        layer, x = layer_for(scheme, dtype), tokens_for(scheme, dtype)
        for flow in backend.flows:
            trace = backend.trace(Lane(backend=backend.name, flow=flow), layer, x, scheme)
            operands = (trace[f"{side}.dequantized"].tensor for side in ("input", "weight"))
            again = F.linear(*operands, layer.bias.detach())
            assert diff_stage("output", trace["output"].tensor, again).identical


# --- where torchao's own flows part: the rows of the ledger, each as its smallest case ----------------------------


def lanes_part(scheme: QuantScheme, layer: nn.Module, x: Tensor, a: str, b: str) -> tuple[str, str]:
    """(first stage, ulp class) at which two lanes part, ("", "") where they do not."""
    traces = []
    for text in (a, b):
        backend, flow = text.split(":")
        lane = Lane(backend=backend, flow=Flow(flow))
        traces.append((LEGACY if backend == LEGACY.name else TORCHAO).trace(lane, layer, x, scheme))
    difference = first_difference(*traces)
    return ("", "") if difference is None else (difference.stage, ulp_class(difference))


def layer_of(*values: float, dtype: torch.dtype = torch.float32) -> nn.Module:
    """One row of 64 weights that repeats the values."""
    layer = nn.Linear(COLUMNS, 1, bias=False, dtype=dtype)
    layer.weight = nn.Parameter(torch.tensor([values], dtype=dtype).repeat(1, COLUMNS // len(values)))
    return layer


ORDINARY = torch.linspace(-1, 1, COLUMNS).reshape(1, COLUMNS)


def test_a_scale_that_vanishes_in_fp16_is_zero_in_ptq_and_nan_in_prepare() -> None:
    """eps bounds the scale before it is stored: 2**-126 is 0 in fp16, and 0 * (1/0) a NaN that PTQ stores as 0."""
    scheme = presets.intx_weight_only(bits=4, scale_dtype=torch.float16, rules="torchao")
    lanes = ("torchao:ptq", "torchao:qat_prepare")
    assert lanes_part(scheme, layer_of(0.0), ORDINARY, *lanes) == ("weight.codes", "nan")
    assert lanes_part(scheme, layer_of(-1.0, 0.5), ORDINARY, *lanes) == ("", "")


def test_a_nan_in_the_activation_has_the_zero_point_0_in_ptq_and_int_min_in_prepare() -> None:
    """QATConfig's fake quantizers cast zero points to int32, PTQ to int8."""
    scheme = presets.int8_dynamic_intx_weight(rules="torchao")
    broken = ORDINARY.clone()
    broken[0, 3] = torch.nan
    lanes = ("torchao:ptq", "torchao:qat_prepare")
    assert lanes_part(scheme, layer_of(-1.0, 0.5), broken, *lanes) == ("input.zero_point", ">=32768")
    assert lanes_part(scheme, layer_of(-1.0, 0.5), ORDINARY, *lanes) == ("", "")


def test_asymmetric_prepare_takes_the_range_without_widening_it_to_zero() -> None:
    scheme = presets.intx_weight_only(bits=4, mapping=Mapping.ASYMMETRIC, rules="torchao")
    lanes = ("torchao:ptq", "torchao:qat_prepare")
    assert lanes_part(scheme, layer_of(3.0, 4.0), ORDINARY, *lanes)[0] == "weight.scale"
    assert lanes_part(scheme, layer_of(-7.0, 8.0), ORDINARY, *lanes)[0] == "weight.zero_point"


def test_the_two_8da4w_part_at_the_activations_scale() -> None:
    """fp32 scales with eps 2**-23 since #2085 and #2180 in the QAT quantizer, the model's dtype since #2861 in PTQ."""
    scheme = presets.int8_dynamic_intx_weight(bits=4, rules="torchao")
    lanes = ("torchao:ptq", "torchao_8da4w:qat_convert")
    for dtype in (torch.bfloat16, torch.float16):
        parted = lanes_part(scheme, layer_of(-1.0, 0.5, dtype=dtype), ORDINARY.to(dtype), *lanes)
        assert parted == ("input.scale", "dtype")
    assert lanes_part(scheme, layer_of(-1.0, 0.5), ORDINARY, *lanes) == ("", "")
    assert lanes_part(scheme, layer_of(-1.0, 0.5), ORDINARY * 2.0**-20, *lanes) == ("input.scale", ">=32768")


def test_legacy_convert_lays_a_transposed_weight_out_anew() -> None:
    """So a native product may sum it in another order than prepare's and PTQ's, whose weights keep their strides."""
    scheme = presets.int8_dynamic_int4_weight(rules="torchao")
    layer = layer_for(scheme, torch.float32)
    layer.weight = nn.Parameter(layer.weight.detach().T.contiguous().T)
    prepared, converted = (
        LEGACY.trace(Lane(backend=LEGACY.name, flow=flow), layer, ORDINARY, scheme)["weight.dequantized"].tensor
        for flow in QAT_FLOWS
    )
    assert torch.equal(prepared, converted)
    assert prepared.stride() == layer.weight.stride()
    assert converted.is_contiguous()
