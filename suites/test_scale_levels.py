"""Scales of eight bits, scales on two levels and ranges of means: as the oracle declares them, through every flow."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Final

import pytest
import torch
from hypothesis import event, given
from hypothesis import strategies as st
from safetensors import safe_open
from torch import Tensor, nn

import parity
from kernels.availability import missing
from parity import oracle
from parity.backends.functions import backend_from_functions
from quant import (
    PerAxis,
    PerBlock,
    PerGroup,
    PerTensor,
    QuantizedTensor,
    QuantScheme,
    TensorScheme,
    choose_qparams,
    load_quantized,
    presets,
    quantize_,
    rules_named,
    save_quantized,
)
from quant.burn import BlockLevel, Calibration, Value
from quant.fake import quantized_operand
from quant.granularity import Granularity, Stacked
from quant.mapping import Extent
from quant.quantized_tensor import BURN_HEAD
from quant.rule_sets import narrow_scales
from quant.saved_model import METADATA_KEY
from quant.scheme import ResolvedScheme
from quant.scheme_json import decode, encode
from quant.stored import StoredWeight
from suites.directed_groups import FLOATS, same_bits
from suites.oracle_cases import SCHEMES, lenient, scheme
from suites.quant_layers import numbers
from suites.quant_stages import flows_of, unlike

E4M3, FP16, FP32 = torch.float8_e4m3fn, torch.float16, torch.float32
LEVELS: Final = ((E4M3, None), (E4M3, FP32), (FP16, FP32))
RULES: Final = ("engine", "torchao", "burn_head_ndarray", "burn_head_flex", "burn_head_gpu")
BESIDE: Final[tuple[dict[str, str], ...]] = (
    {},
    {"scale_rounding": "nearest_even"},
    {"scale_rounding": "power_of_two_nearest"},
    {"qparam_dtype": "float64"},
    {"qparam_dtype": "input"},
    {"code_dtype": "scale", "rescale_dtype": "scale", "subtract_dtype": "scale"},
    {"code_division": "reciprocal_multiply", "reciprocal_dtype": "scale", "gradient_product": "identity"},
    {"subnormals": "flush", "eps_target": "none", "scale_rounding": "nearest_even"},
    {"zero_scale": "min_positive", "eps_target": "none"},
    {"zero_scale": "tenth", "zero_scale_at": "use", "eps_target": "none"},
)
GRANULARITIES: Final[tuple[Granularity, ...]] = (PerGroup(4), PerAxis(0), PerBlock((2, 2)), PerTensor())
KINDS: Final = tuple(name for name in SCHEMES if "stretched" not in name and "mean" not in name)


def tensor(seed: int, spread: int, dtype: torch.dtype, binade: int = -5) -> Tensor:
    """[4, 8]: numbers near 2^binade, whose rows lie up to 2^spread apart; a row of zeros under an odd seed."""
    drawn = numbers((4, 8), torch.float64, seed)
    binades = torch.tensor([0, -spread, -(spread // 2), spread // 3]).double().exp2()
    drawn = drawn * binades[:, None] * 2.0**binade
    drawn[2] *= 1 - seed % 2
    return drawn.to(dtype)


# --- what the oracle declares -----------------------------------------------------------------------------------------


@given(
    kind=st.sampled_from(KINDS),
    level=st.sampled_from(LEVELS),
    rules=st.sampled_from(RULES),
    beside=st.sampled_from(BESIDE),
    granularity=st.sampled_from(GRANULARITIES),
    dtype=st.sampled_from(FLOATS),
    spread=st.integers(0, 20),
    binade=st.sampled_from([-5, -118, 100]),
    seed=st.integers(0, 2**16),
    special=st.sampled_from([1.0, 0.0, 1e30, torch.inf, torch.nan]),
)
def test_every_stage_is_as_declared(
    kind: str,
    level: tuple[torch.dtype, torch.dtype | None],
    rules: str,
    beside: dict[str, str],
    granularity: Granularity,
    dtype: torch.dtype,
    spread: int,
    binade: int,
    seed: int,
    special: float,
) -> None:
    """In fractions, each step rounded once; on two levels both of them, too."""
    try:
        own = scheme(kind, narrow_scales(lenient(rules)).with_values(nan_code="zero", **beside), level[0])
        assert own is not None
        own = replace(own, granularity=granularity, global_scale_dtype=level[1])
        own.resolved(dtype)
    except (ValueError, AssertionError):  # a value that excludes another
        event("excluded")
        return
    x = tensor(seed, spread, dtype, binade)
    x[1, 3] *= special
    found = quantized_operand(x, own)
    declared = oracle.trace(x, own, fake=False, output_dtype=dtype, form=oracle.Form.RATIONAL)
    assert same_bits(declared.scale, found.qparams.effective_scale)
    assert same_bits(declared.zero_point, found.qparams.zero_point)
    assert same_bits(declared.codes, found.codes)
    assert same_bits(declared.dequantized, found.dequantized)
    assert (declared.levels is None) == (level[1] is None)
    if declared.levels is not None:
        lower, upper = declared.levels
        assert found.qparams.global_scale is not None
        assert same_bits(lower, found.qparams.scale)
        assert same_bits(upper, found.qparams.global_scale.expand(upper.shape))


def test_a_product_of_levels_is_flushed_like_any_other() -> None:
    """1.01 over 1.05 is 0.9375 in eight bits, and 0.9375 * 1.05 * 2^-126 is subnormal: zero, where such are flushed."""
    flushing = lenient("engine").with_values(scale_overflow="saturate", subnormals="flush", eps_target="none")
    own = replace(NAMED["two levels"].weight, rules=flushing, granularity=PerGroup(2))
    x = torch.tensor([[7.5 * 448 * 1.05, 0, 7.5 * 1.01, 0]]) * 2.0**-126
    found = choose_qparams(x, own)
    assert found.scale.tolist() == [[448.0, 0.9375]]
    assert found.effective_scale[0, 1] == 0
    declared = oracle.trace(x, own, fake=False, output_dtype=FP32, form=oracle.Form.RATIONAL)
    assert same_bits(declared.scale, found.effective_scale)


@pytest.mark.parametrize("order", ["exact", "float32_sequential", "native"])
@pytest.mark.parametrize("dtype", FLOATS, ids=str)
def test_a_mean_is_as_declared(order: str, dtype: torch.dtype) -> None:
    own = presets.ternary_weight_only(group_size=4).weight
    own = replace(own, rules=own.rules.with_values(mean_accumulate=order))
    for seed in range(5):
        x = tensor(seed, 4 * seed, dtype)
        declared = oracle.trace(x, own, fake=False, output_dtype=dtype, form=oracle.Form.RATIONAL)
        found = quantized_operand(x, own)
        assert same_bits(declared.scale, found.qparams.scale)
        assert same_bits(declared.codes, found.codes)


def test_stacked_cases_have_an_upper_scale_each() -> None:
    own = presets.two_level_intx_weight_only(group_size=4).weight
    cases = torch.stack([tensor(seed, 4, FP32) * 10.0**seed for seed in range(3)])
    stacked = choose_qparams(cases, own.stacked())
    assert stacked.global_scale is not None
    assert stacked.global_scale.shape == (3, 1, 1)
    for i, case in enumerate(cases):
        alone = choose_qparams(case, own)
        assert same_bits(alone.scale, stacked.scale[i])
        assert same_bits(alone.global_scale, stacked.global_scale[i])
    declared = oracle.trace(cases, own.stacked(), fake=False, output_dtype=FP32)
    assert same_bits(declared.scale, stacked.effective_scale)
    assert isinstance(stacked.scheme.granularity, Stacked)


# --- through the flows ------------------------------------------------------------------------------------------------

NAMED: Final[dict[str, QuantScheme]] = {
    "two levels": presets.two_level_intx_weight_only(group_size=4),
    "two levels of sixteen bits": presets.two_level_intx_weight_only(bits=8, group_size=4, scale_dtype=FP16),
    "ternary": presets.ternary_weight_only(),
    "ternary in groups": presets.ternary_weight_only(
        group_size=4, rules=rules_named("torchao")[0].with_values(code_cast="integer")
    ),
    "Burn's two levels": presets.burn_head(
        Value.Q4S, level=BlockLevel((2, 4)), scale_dtype=E4M3, global_dtype=FP32, rules="burn_head_flex"
    ),
    "Burn's eight bits": presets.burn_head(Value.Q8S, level=BlockLevel((4,)), scale_dtype=E4M3),
    "Burn's ternary": presets.burn_head(Value.Q2S, calibration=Calibration.ABS_MEAN, rules="burn_head_gpu"),
}


@pytest.mark.parametrize("dtype", FLOATS, ids=str)
@pytest.mark.parametrize("name", NAMED)
def test_flows_agree(name: str, dtype: torch.dtype) -> None:
    for seed in range(6):
        ptq, *others = flows_of(NAMED[name].weight, tensor(seed, 3 * seed, dtype)).values()
        assert not [stage for other in others for stage in unlike(ptq, other)]


@pytest.mark.parametrize("name", ["two levels", "Burn's two levels", "ternary"])
def test_lanes_agree_and_so_does_an_exported_graph(name: str) -> None:
    own = NAMED[name]
    own = replace(own, weight=replace(own.weight, rules=own.weight.rules.with_values(nan_code="zero")))
    for other in ("engine:qat_prepare", "engine:qat_convert", "engine:ptq:cpu:exported"):
        parity.assert_identical("engine:ptq", other, own)


@pytest.mark.nightly
@pytest.mark.skipif(missing("cpu", "compiled") is not None, reason=str(missing("cpu", "compiled")))
@pytest.mark.parametrize("name", ["two levels", "ternary in groups"])
def test_a_compiler_changes_no_bit(name: str) -> None:
    for flow in ("ptq", "qat_prepare"):
        parity.assert_identical(f"engine:{flow}", f"engine:{flow}:cpu:compiled", NAMED[name])


@pytest.mark.parametrize("name", NAMED)
def test_what_is_saved_is_loaded(name: str, tmp_path: Path) -> None:
    own = NAMED[name]
    made = [nn.Sequential(nn.Linear(8, 4)) for _ in range(2)]
    made[1].load_state_dict(made[0].state_dict())
    x = tensor(1, 2, FP32)
    saved = quantize_(made[0], own)
    save_quantized(saved, tmp_path / "model.safetensors")
    loaded = load_quantized(made[1], tmp_path / "model.safetensors")
    for name_, value in saved.state_dict().items():
        assert same_bits(value, loaded.state_dict()[name_]), name_
    assert same_bits(saved(x), loaded(x))
    with safe_open(tmp_path / "model.safetensors", framework="pt") as file:
        described = json.loads(file.metadata()[METADATA_KEY])["schemes"][0]["weight"]
    upper = own.weight.global_scale_dtype
    assert described["global_scale_dtype"] == (None if upper is None else "torch.float32")


def test_an_upper_scale_that_is_missing_or_cast_is_refused() -> None:
    layer = quantize_(nn.Sequential(nn.Linear(8, 4, bias=False)), NAMED["two levels"])[0]
    empty = StoredWeight.empty((4, 8), FP32, NAMED["two levels"].weight)
    assert empty.quantized.qparams.global_scale is not None
    assert empty.quantized.qparams.global_scale.isnan().all()
    layer.weight_global_scale = layer.weight_global_scale.double()
    with pytest.raises(ValueError, match=r"^weight_global_scale is torch.float64 and the scheme stores torch.float32"):
        layer.stages(torch.zeros(1, 8))


def test_schemes_written_before_there_were_two_levels_are_read() -> None:
    own = presets.intx_weight_only().weight
    told = encode(own)
    del told["global_scale_dtype"]
    assert decode(told, TensorScheme, "the scheme") == own


# --- as tensors that torch computes with ------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["two levels", "Burn's two levels", "Burn's eight bits"])
def test_moved_codes_keep_both_levels(name: str) -> None:
    x = tensor(4, 6, FP32)
    held = QuantizedTensor.from_float(x, NAMED[name], BURN_HEAD)
    plain = held.dequantize()
    for move in (lambda t: t.mT, lambda t: t[:2], lambda t: t[:, 4:], lambda t: t.flip(0), lambda t: t[None]):
        assert same_bits(move(held).dequantize(), move(plain))
    assert same_bits(held[:2, :4].contiguous().dequantize(), plain[:2, :4])


def test_what_is_quantized_again_takes_its_extremes() -> None:
    """Burn's requantization knows no means: a ternary weight of means is one of extremes afterwards."""
    held = QuantizedTensor.from_float(tensor(4, 1, FP32), NAMED["Burn's ternary"], BURN_HEAD)
    again = held.requantized(held.dequantize())
    assert held.tensor_scheme.extent is Extent.MEAN
    assert again.tensor_scheme.extent is Extent.MIN_MAX
    assert same_bits(again.dequantize(), held.dequantize())


# --- why two lanes part ----------------------------------------------------------------------------------------------


def test_a_level_that_is_left_out_is_the_cause() -> None:
    """A black box that rounds each scale to eight bits as it is, where the scheme divides by the tensor's first."""

    def chosen(x: Tensor, resolved: ResolvedScheme) -> tuple[Tensor, Tensor | None]:
        qparams = choose_qparams(x, replace(resolved, global_scale_dtype=None))
        return qparams.scale, qparams.zero_point

    forgets = backend_from_functions("forgets", choose_qparams=chosen)
    record = parity.compare("engine:ptq", forgets, NAMED["two levels"], dtype=FP32)
    assert record.first_stage == "weight.scale"
    (cause,) = parity.explain(record).causes
    assert (cause.field, cause.value_a, cause.value_b) == ("scheme.global_scale_dtype", "float32", "None")
