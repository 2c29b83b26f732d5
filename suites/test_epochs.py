"""torchao before and after the pull requests that moved its bits: each epoch a backend, its flows side by side."""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import cache
from itertools import product

import pytest
import torch
from torch import nn

import parity
from parity.backends.engine import EngineBackend
from parity.backends.names import EPOCHS
from parity.backends.protocol import NotExpressible
from parity.backends.registry import backend_named
from parity.backends.torchao import Torchao8da4wBackend, TorchaoBackend
from parity.backends.torchao_package import unusable
from parity.diff import diff_traces
from parity.digest import digest
from parity.lanes import Flow, Lane
from parity.trace import Trace
from quant import Mapping, QuantScheme, epochs, presets
from suites.aimed_layers import INDICES, layer_for, tokens_for
from suites.torchao_release import DTYPES, GOLDEN, GROUP

PTQ, PREPARE, CONVERT = Flow.PTQ, Flow.QAT_PREPARE, Flow.QAT_CONVERT
PAIRS = tuple(product(DTYPES, DTYPES))  # (dtype of the model, dtype of the weight's scale)
FP32_SCALES = tuple((dtype, "fp32") for dtype in DTYPES)

# The release that stands in each epoch, and the epoch that its PTQ configs of version 1 stand in.
RELEASES = {
    "0.10.0": "torchao_before_1964",
    "0.11.0": "torchao_before_2180",
    "0.13.0": "torchao_before_2861",
    "0.17.0": "torchao_before_4534",
}
# A token of eps 2**-23 whose fp16 scale has no reciprocal makes NaN codes. 0.10 read them back as integers that wrapped
# around in int32 and were then widened to fp32; the engine's int32 distance is rounded to the output's dtype.
WRAPPED = {("0.10.0", "qat_prepare linear fp16 fp16", "input.dequantized")}


def recipe(scale: str) -> QuantScheme:
    """8da4w that leaves its activation to torchao, as its users wrote it."""
    return presets.int8_dynamic_intx_weight(bits=4, group_size=GROUP, scale_dtype=DTYPES[scale], rules="torchao")


@cache
def traced(epoch: str, flow: Flow, dtype: str, scale: str, op: str, family: str = "random") -> Trace:
    scheme = recipe(scale)
    layer = layer_for(scheme, DTYPES[dtype], embedding=op == "embedding", family=family)
    x = INDICES if op == "embedding" else tokens_for(scheme, DTYPES[dtype], family)
    return backend_named(epoch).trace(Lane(backend=epoch, flow=flow), layer, x, scheme)


def first_stages(epoch: str, a: Flow, b: Flow, op: str, family: str = "random") -> dict[tuple[str, str], str]:
    """The first stage at which two flows part, for each pair of dtypes at which they do."""
    found = {}
    for dtype, scale in PAIRS:
        diffs = diff_traces(*(traced(epoch, flow, dtype, scale, op, family) for flow in (a, b)))
        different = [diff.stage for diff in diffs if not diff.identical]
        if different:
            found[dtype, scale] = different[0]
    return found


# --- prepare and convert, of 9 pairs of dtypes ---------------------------------------------------------------------


@pytest.mark.parametrize("epoch", EPOCHS)
def test_8da4w_prepare_equals_convert_in_1_of_9_before_2085_and_9_of_9_after(epoch: str) -> None:
    parted = first_stages(epoch, PREPARE, CONVERT, "linear")
    if epoch > "torchao_before_2085" or epoch == "torchao_0_18":
        assert parted == {}
    elif epoch == "torchao_before_2085":
        # One precision for the activation's scale, another for the weight's; convert stored the weight's as float32.
        unlike = {(dtype, scale): "input.scale" for dtype, scale in PAIRS if dtype != scale}
        assert parted == unlike | {("bf16", "bf16"): "weight.scale", ("fp16", "fp16"): "weight.scale"}
    else:
        assert parted != {}


def test_before_2060_prepare_had_xnnpacks_zero_point_and_before_1964_convert_had_float64() -> None:
    """Directed inputs: the two differ on few tokens, and the eps of prepare was float32's in every dtype."""
    parted = first_stages("torchao_before_2060", PREPARE, CONVERT, "linear", "directed")
    assert parted == dict.fromkeys(PAIRS, "input.scale") | {("fp32", "fp32"): "input.zero_point"}
    assert first_stages("torchao_before_1964", PREPARE, CONVERT, "linear") == dict.fromkeys(PAIRS, "input.scale")


@pytest.mark.parametrize("epoch", EPOCHS)
def test_embeddings_prepare_equals_convert_in_0_of_9_before_2085_and_9_of_9_after(epoch: str) -> None:
    parted = first_stages(epoch, PREPARE, CONVERT, "embedding")
    if epoch in ("torchao_before_1964", "torchao_before_2060", "torchao_before_2085"):
        assert parted == {pair: "output" if pair in FP32_SCALES else "weight.scale" for pair in PAIRS}
        converted = traced(epoch, CONVERT, "bf16", "fp32", "embedding")["output"].tensor
        assert converted.dtype is torch.int64
    else:
        assert parted == {}


def test_on_directed_inputs_a_scale_that_fp16_cannot_invert_is_left() -> None:
    """Zeros under eps 2**-23 in fp16: prepare keeps NaN codes, convert stores 0. The eps of #4534 moved the pair."""
    after = first_stages("torchao_before_2180", PREPARE, CONVERT, "linear", "directed")
    assert after == {("fp32", "fp16"): "weight.codes"}
    now = first_stages("torchao_0_18", PREPARE, CONVERT, "linear", "directed")
    assert now == {("fp32", "fp16"): "weight.codes", ("bf16", "fp16"): "weight.codes"}


# --- one flow before and after a pull request ----------------------------------------------------------------------

# (pull request, flow, op, dtype, scale, family) -> the first stage that it moved
MOVED = {
    (1964, CONVERT, "linear", "bf16", "bf16", "random"): "input.scale",  # float64 scales left
    (2060, PREPARE, "linear", "bf16", "fp32", "directed"): "input.scale",  # eps of the activation
    (2060, PREPARE, "linear", "fp32", "fp32", "directed"): "input.zero_point",  # XNNPACK's rule
    (2060, PREPARE, "embedding", "bf16", "fp32", "directed"): "weight.scale",  # eps of the weight
    (2085, PTQ, "linear", "fp32", "fp32", "random"): "input.scale",  # float64 became float32
    (2085, PTQ, "embedding", "bf16", "bf16", "directed"): "weight.scale",  # eps of the weight
    (2085, PREPARE, "linear", "bf16", "bf16", "random"): "input.scale",
    (2085, CONVERT, "linear", "fp32", "bf16", "random"): "weight.scale",
    (2085, CONVERT, "embedding", "bf16", "fp32", "random"): "output",
    (2180, PTQ, "linear", "bf16", "bf16", "directed"): "input.scale",
    (2180, PREPARE, "linear", "bf16", "bf16", "directed"): "input.scale",
    (2180, CONVERT, "linear", "fp16", "fp32", "directed"): "input.scale",
    (2861, PTQ, "linear", "bf16", "bf16", "random"): "input.scale",
    (4534, PTQ, "linear", "bf16", "bf16", "directed"): "input.scale",
    (4534, PREPARE, "embedding", "bf16", "fp32", "directed"): "weight.scale",
    (4534, CONVERT, "linear", "bf16", "bf16", "directed"): "weight.scale",
}
UNMOVED = (
    (1964, PREPARE, "linear", "bf16", "bf16", "directed"),
    (1964, PTQ, "linear", "bf16", "bf16", "directed"),
    (2060, PTQ, "linear", "bf16", "bf16", "directed"),
    (2180, PREPARE, "linear", "fp32", "fp32", "directed"),  # float32's eps already
    (2280, PREPARE, "linear", "bf16", "bf16", "random"),  # codes of 8 bits are exact on every way back
    (2861, PREPARE, "linear", "bf16", "bf16", "directed"),
    (4534, PREPARE, "linear", "fp32", "fp32", "random"),
)


def before_and_after(pull: int, flow: Flow, op: str, dtype: str, scale: str, family: str) -> list[str]:
    """Every stage that a pull request moved."""
    before = EPOCHS.index(f"torchao_before_{pull}")
    traces = (traced(EPOCHS[i], flow, dtype, scale, op, family) for i in (before, before + 1))
    return [diff.stage for diff in diff_traces(*traces) if not diff.identical]


@pytest.mark.parametrize("moved", MOVED, ids=lambda moved: "-".join(map(str, moved)))
def test_a_pull_request_moves_the_stage_it_is_known_for(moved: tuple[int, Flow, str, str, str, str]) -> None:
    assert before_and_after(*moved)[0] == MOVED[moved]


@pytest.mark.parametrize("unmoved", UNMOVED, ids=lambda unmoved: "-".join(map(str, unmoved)))
def test_and_leaves_the_other_flows_alone(unmoved: tuple[int, Flow, str, str, str, str]) -> None:
    assert before_and_after(*unmoved) == []


def test_2861_widened_asymmetric_weights_to_zero() -> None:
    scheme = presets.intx_weight_only(bits=4, group_size=GROUP, mapping=Mapping.ASYMMETRIC, rules="torchao")
    layer = nn.Linear(64, 1, bias=False)
    layer.weight = nn.Parameter(torch.tensor([[3.0, 4.0]]).repeat(1, 32))
    before, after = (
        backend_named(name).trace(Lane(backend=name, flow=PTQ), layer, torch.ones(1, 64), scheme)
        for name in ("torchao_before_2861", "torchao_before_4534")
    )
    diffs = [diff.stage for diff in diff_traces(before, after) if not diff.identical]
    assert diffs[0] == "weight.scale"
    assert before["weight.zero_point"].tensor.unique().tolist() == [-8], "-8 - round(3 / s) saturates"
    assert (before["weight.dequantized"].tensor - layer.weight).abs().max() > 2.0, "so nothing of the weight is left"
    assert (after["weight.dequantized"].tensor - layer.weight).abs().max() < 0.15


@pytest.mark.parametrize(("op", "moved"), [("linear", ["grad.input", "grad.weight"]), ("embedding", ["grad.weight"])])
def test_2280_stopped_the_gradient_of_clipped_weights(op: str, moved: list[str]) -> None:
    """The peak of a symmetric group is 7.5 scales: its code is clipped, and its gradient passed until then."""
    scheme = recipe("fp32")
    layer = layer_for(scheme, torch.float32, embedding=op == "embedding", family="random")
    x = INDICES if op == "embedding" else tokens_for(scheme, torch.float32, "random")
    before, after = (
        backend_named(name).trace(Lane(backend=name, flow=PREPARE), layer, x, scheme, gradients=True)
        for name in ("torchao_before_2280", "torchao_before_2861")
    )
    assert [diff.stage for diff in diff_traces(before, after) if not diff.identical] == moved
    then, now = before["grad.weight"].tensor, after["grad.weight"].tensor
    stopped = (then != 0) & (now == 0)
    assert stopped.any()
    groups = layer.weight.detach().reshape(-1, GROUP)
    assert (groups == groups.abs().amax(1, keepdim=True))[stopped.reshape(-1, GROUP)].all(), "nothing but peaks"


# --- explained -----------------------------------------------------------------------------------------------------


def test_the_difference_is_explained_by_what_the_flows_declare() -> None:
    record = parity.compare("torchao_before_2085:qat_prepare", "torchao_before_2085:qat_convert", recipe("bf16"))
    explanation = parity.explain(record)
    assert explanation.first_stage == "weight.scale"
    assert explanation.explained == 1.0
    assert ("scheme.scale_dtype", "bfloat16", "float32") in explanation.causes


# --- the declarations are the releases -----------------------------------------------------------------------------


def recorded() -> Iterator[tuple[str, str, str, str]]:
    for release, rows in json.loads(GOLDEN.read_text()).items():
        for row, stages in rows.items():
            yield from ((release, row, stage, seen) for stage, seen in stages.items())


@pytest.mark.parametrize("release", RELEASES)
def test_an_epoch_gives_the_bits_that_its_release_gave(release: str) -> None:
    """Digests of real releases, made by suites.torchao_release: tokens and weights as each flow's product got them."""
    epoch, compared = RELEASES[release], 0
    for _, row, stage, seen in (entry for entry in recorded() if entry[0] == release):
        flow, op, dtype, scale = row.split()
        own = traced(epoch, Flow(flow), dtype, scale, op, "directed")[stage].tensor
        assert (digest(own) == seen) == ((release, row, stage) not in WRAPPED), f"{row}: {stage}"
        compared += 1
    assert compared == (114 if release == "0.10.0" else 135)


@pytest.mark.skipif(unusable() is not None, reason=unusable() or "")
@pytest.mark.parametrize("op", ["linear", "embedding"])
@pytest.mark.parametrize("flow", Flow)
def test_the_last_epoch_is_torchao_0_18(flow: Flow, op: str) -> None:
    """Also where the engine under `torchao` is another scheme, because the quantizer hard-codes its own."""
    foreign = TorchaoBackend() if flow is PTQ else Torchao8da4wBackend()
    for dtype, scale in PAIRS:
        scheme = recipe(scale)
        layer = layer_for(scheme, DTYPES[dtype], embedding=op == "embedding")
        x = INDICES if op == "embedding" else tokens_for(scheme, DTYPES[dtype])
        theirs = foreign.trace(Lane(backend=foreign.name, flow=flow), layer, x, scheme)
        own = traced("torchao_0_18", flow, dtype, scale, op, "directed")
        different = [diff.stage for diff in diff_traces(theirs, own) if not diff.identical]
        assert different == [], f"{dtype}, {scale}"


# --- XNNPACK's recipe ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("flow", Flow)
def test_xnnpacks_recipe_names_every_eps_so_it_is_what_8da4w_was_before_4534(flow: Flow) -> None:
    """bf16 model, bf16 weight scales: eps 2**-7 was the default then, and is pinned in the recipe now."""
    pinned = presets.xnnpack_recipe(rules="torchao")
    layer, x = layer_for(pinned, torch.bfloat16), tokens_for(pinned, torch.bfloat16)
    own = EngineBackend().trace(Lane(backend="engine", flow=flow), layer, x, pinned)
    for epoch, expected in (("torchao_before_4534", []), ("torchao_0_18", ["weight.scale"])):
        then = backend_named(epoch).trace(Lane(backend=epoch, flow=CONVERT), layer, x, recipe("bf16"))
        stages = [diff.stage for diff in diff_traces(then, own) if not diff.identical]
        assert stages[:1] == expected, f"{epoch}: {stages}"


@pytest.mark.parametrize("dtype", DTYPES.values(), ids=str)
def test_xnnpacks_eps_is_the_same_number_for_every_model_and_rule_set(dtype: torch.dtype) -> None:
    for rules in ("engine", "torchao"):
        recipe_of = presets.xnnpack_recipe(rules=rules)
        assert recipe_of.activation is not None
        assert (recipe_of.weight.resolved(dtype).eps, recipe_of.activation.resolved(dtype).eps) == (2.0**-7, 2.0**-23)


# --- names and refusals --------------------------------------------------------------------------------------------


def test_every_epoch_is_a_backend_and_every_backend_an_epoch() -> None:
    assert tuple(backend_named(name).name for name in EPOCHS) == EPOCHS
    assert [f"torchao_{epoch.name}" for epoch in epochs.EPOCHS] == list(EPOCHS)
    dated = [epoch.date for epoch in epochs.EPOCHS if epoch.date]
    assert dated == sorted(dated)
    assert all(epoch.moved for epoch in epochs.EPOCHS[:-1])


@pytest.mark.parametrize(
    ("flow", "scheme", "sentence"),
    [
        (PREPARE, presets.intx_weight_only(rules="torchao"), "the activation is not quantized"),
        (CONVERT, presets.int8_dynamic_intx_weight(bits=3, rules="torchao"), "the weight has 3 bits"),
        (PTQ, presets.int8_dynamic_intx_weight(weight_eps=1e-3, rules="torchao"), "the weight's eps is 0.001"),
    ],
)
def test_an_epoch_refuses_what_torchao_had_no_word_for(flow: Flow, scheme: QuantScheme, sentence: str) -> None:
    with pytest.raises(NotExpressible, match=f"^{sentence}"):
        backend_named(EPOCHS[0]).trace(
            Lane(backend=EPOCHS[0], flow=flow), nn.Linear(64, 32), torch.zeros(2, 64), scheme
        )


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("torchao_before_2085.engine:ptq", "torchao_before_2085 follows the rules of its epoch, not engine"),
        ("torchao_before_2085:ptq:cpu:compiled", "torchao_before_2085's compiled lane is not built"),
    ],
)
def test_lanes_that_never_run_say_why(text: str, sentence: str) -> None:
    asked = parity.lane(text)
    assert backend_named(asked.backend).unrun(asked) == sentence
