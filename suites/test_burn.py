"""Burn's schemes both ways and what each side cannot say; models in words, flows, and where its backends part."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn

import parity
from parity.lanes import Flow
from parity.verdicts import Verdict
from quant import (
    Packing,
    PerGroup,
    PerRow,
    PerTensor,
    QuantScheme,
    choose_qparams,
    load_quantized,
    presets,
    quantize_,
    rules_named,
    save_quantized,
)
from quant.burn import (
    Accumulator,
    BlockLevel,
    BurnScheme,
    Level,
    TensorLevel,
    Value,
    burn_3042,
    burn_3042_half,
    burn_head_flex,
    burn_head_gpu,
    burn_head_ndarray,
    from_bytes,
    from_quant_scheme,
    tensor_scheme,
    to_bytes,
    to_quant_scheme,
)
from quant.burn_rules import BURN_3042, BURN_HEAD_FLEX, BURN_HEAD_GPU, BURN_HEAD_NDARRAY, BURN_RULE_SETS
from quant.codes import quantize
from quant.fake import quantized_operand
from quant.propagation import Propagation
from suites.directed_groups import same_bits

FP32 = torch.float32
ENGINE = rules_named("engine")[0]
LEVELS: tuple[Level, ...] = (TensorLevel(), BlockLevel((32,)), BlockLevel((2, 4)))


# --- both ways --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("propagation", Propagation)
@pytest.mark.parametrize("accumulator", Accumulator)
def test_the_merge_s_schemes_come_back(accumulator: Accumulator, propagation: Propagation) -> None:
    burn = BurnScheme(accumulator=accumulator, propagation=propagation)
    assert from_quant_scheme(to_quant_scheme(burn)) == (burn, "burn_3042")


@pytest.mark.parametrize("backend", [name for name in BURN_RULE_SETS if name != "burn_3042"])
@pytest.mark.parametrize("value", Value)
def test_later_schemes_come_back(value: Value, backend: str) -> None:
    for level in LEVELS:
        for scale in (None, torch.float32, torch.float16, torch.bfloat16):
            burn = BurnScheme(level=level, value=value, scale_dtype=scale)
            assert from_quant_scheme(to_quant_scheme(burn, backend)) == (burn, backend)


def test_presets_are_their_backends() -> None:
    made = (burn_3042(), burn_3042_half(), burn_head_ndarray(), burn_head_flex(), burn_head_gpu())
    assert [scheme.weight.rules for scheme in made] == [
        *(BURN_3042, BURN_3042, BURN_HEAD_NDARRAY, BURN_HEAD_FLEX, BURN_HEAD_GPU)
    ]
    assert [scheme.product.accumulate for scheme in made[:2]] == ["float32_sequential", "float16_sequential"]
    assert [scheme.weight.qmin for scheme in made] == [-127, -127, -128, -128, -128]


def test_presets_are_found_under_every_rule_set() -> None:
    """Burn's sets carry out what Burn's backends do; another set, the same tensors by its own decisions and product."""
    assert (presets.burn_3042(), presets.burn_head()) == (burn_3042(), burn_head_ndarray())
    assert presets.burn_3042(rules="burn_head_flex") == to_quant_scheme(BurnScheme(), "burn_head_flex")
    for preset, operands in ((presets.burn_3042, 2), (presets.burn_head, 1)):
        scheme = preset(rules="engine")
        tensors = [tensor for tensor in (scheme.weight, scheme.activation) if tensor is not None]
        assert len(tensors) == operands
        assert {(tensor.qmax, tensor.granularity, tensor.rules) for tensor in tensors} == {(127, PerTensor(), ENGINE)}
        assert scheme.product == rules_named("engine")[1]
    with pytest.raises(ValueError, match="value is q8f"):
        presets.burn_head(rules="burn_3042")


HEAD = burn_head_ndarray(Value.Q4S, level=BlockLevel((32,)))


def with_weight(**changes: object) -> QuantScheme:
    return replace(HEAD, weight=replace(HEAD.weight, **changes))


REFUSED: list[tuple[str, Callable[[], object]]] = [
    ("the block is (256,); Burn's have one to 5 extents of 1 to 255", lambda: BlockLevel((256,))),
    ("the block is (1, 32); leave leading extents of 1 out", lambda: BlockLevel((1, 32))),
    ("scale_dtype is torch.float64; Burn's scales are", lambda: BurnScheme(scale_dtype=torch.float64)),
    ("there is no backend 'tch' of Burn", lambda: to_quant_scheme(BurnScheme(), "tch")),
    ("level is BlockLevel(shape=(32,)), value is q8s", lambda: to_quant_scheme(BurnScheme(level=BlockLevel((32,))))),
    ("value is q4f", lambda: to_quant_scheme(BurnScheme(value=Value.Q4F))),
    (
        "accumulator is half and backend is burn_head_flex",
        lambda: to_quant_scheme(BurnScheme(accumulator=Accumulator.HALF), "burn_head_flex"),
    ),
    ("granularity is PerRow(); Burn has no extent", lambda: from_quant_scheme(with_weight(granularity=PerRow()))),
    ("the block is (256,)", lambda: from_quant_scheme(with_weight(granularity=PerGroup(256)))),
    ("the grid runs from -4 to 3 in 3 bits", lambda: from_quant_scheme(with_weight(bits=3, qmin=-4, qmax=3))),
    ("zero_point_domain is int", lambda: from_quant_scheme(presets.intx_weight_only())),
    ("mapping is asymmetric", lambda: from_quant_scheme(presets.int4_weight_only())),
    (
        "the nearest, burn_head_ndarray, differs in code_rounding half_up (there half_away)",
        lambda: from_quant_scheme(with_weight(rules=BURN_HEAD_NDARRAY.with_values(code_rounding="half_up"))),
    ),
    ("activation is", lambda: from_quant_scheme(replace(HEAD, activation=HEAD.weight))),
]


@pytest.mark.parametrize(("sentence", "build"), REFUSED, ids=[sentence for sentence, _ in REFUSED])
def test_what_a_side_cannot_express_is_a_sentence(sentence: str, build: Callable[[], object]) -> None:
    with pytest.raises(ValueError) as refused:
        build()
    assert sentence in str(refused.value)


def test_bytes_of_another_length_and_with_zero_points_are_refused() -> None:
    x = torch.ones(2, 8)
    data = to_bytes(quantize(x, choose_qparams(x, burn_3042().weight)))
    with pytest.raises(
        ValueError, match=r"^there are 20 bytes; a tensor \(2, 9\) of q8s has 20 of codes and 4 of scal"
    ):
        from_bytes(data, BurnScheme(), BURN_3042, (2, 9), FP32)
    with pytest.raises(ValueError, match="use the none domain"):
        to_bytes(quantize(x, choose_qparams(x, presets.intx_weight_only().weight)))


def test_a_model_in_words_is_saved_and_loaded(tmp_path: Path) -> None:
    """Every buffer and every output has the bits of the model whose codes are not packed."""
    torch.manual_seed(0)
    layer = nn.Linear(64, 32)
    for value in Value:
        scheme = burn_head_ndarray(value, level=BlockLevel((2, 16)))
        packed = replace(scheme, packing=Packing.u32(value.bits))
        models = [quantize_(nn.Sequential(replicated(layer)), s) for s in (scheme, packed)]
        save_quantized(models[1], tmp_path / "model.safetensors")
        loaded = nn.Sequential(replicated(layer))
        load_quantized(loaded, tmp_path / "model.safetensors")
        x = torch.randn(4, 64)
        assert same_bits(models[0](x), models[1](x))
        assert same_bits(models[0](x), loaded(x))


def replicated(layer: nn.Linear) -> nn.Linear:
    made = nn.Linear(layer.in_features, layer.out_features)
    made.load_state_dict(layer.state_dict())
    return made


# --- flows ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("scheme", [burn_3042_half(), burn_head_ndarray(), burn_head_flex(), burn_head_gpu()])
def test_flows_agree_under_every_set(scheme: QuantScheme) -> None:
    """Where Burn panics at a NaN, another set goes on: directed layers hold some."""
    weight, activation = (
        None if side is None else replace(side, rules=side.rules.with_values(nan_code="zero"))
        for side in (scheme.weight, scheme.activation)
    )
    for dtype in (torch.float32, torch.bfloat16):
        for flow in (Flow.QAT_PREPARE, Flow.QAT_CONVERT):
            goes_on = replace(scheme, weight=weight, activation=activation)
            record = parity.compare("engine:ptq", f"engine:{flow}", goes_on, dtype=dtype)
            assert record.verdict is Verdict.IDENTICAL, record.sentence


# --- witnesses of its open bugs ---------------------------------------------------------------------------------------


def test_halves_part_the_backends() -> None:
    x = torch.tensor([127, 0.5, 1.5, 2.5, -0.5, -1.5, -2.5])
    codes = {
        name: quantized_operand(x, tensor_scheme(BurnScheme(), rules)).codes.tolist()
        for name, rules in BURN_RULE_SETS.items()
    }
    away, even = [127, 1, 2, 3, -1, -2, -3], [127, 0, 2, 2, 0, -2, -2]
    assert codes == dict.fromkeys(BURN_RULE_SETS, away) | {"burn_head_gpu": even}


def test_a_reciprocal_misses_a_tie_that_a_division_meets() -> None:
    x = torch.tensor([5, 0.059055116])
    found = [
        quantized_operand(x, tensor_scheme(BurnScheme(), rules)).codes[1].item()
        for rules in (BURN_HEAD_NDARRAY, BURN_HEAD_FLEX)
    ]
    assert found == [2, 1]


def test_zeros_have_three_scales() -> None:
    x = torch.zeros(4)
    for rules, scale in ((BURN_HEAD_NDARRAY, 0.0), (BURN_HEAD_FLEX, 2.0**-126), (BURN_HEAD_GPU, 0.0)):
        operand = quantized_operand(x, tensor_scheme(BurnScheme(), rules))
        assert operand.qparams.scale.item() == scale
        assert operand.codes.tolist() == [0, 0, 0, 0]
