"""Burn's narrow scales, levels and means: the numbers of its study and of its tests 3c, 14, 15 and 22."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from quant import PerBlock, ProductRules, QuantScheme, choose_qparams, quantize
from quant.burn import (
    BlockLevel,
    BurnScheme,
    Calibration,
    TensorLevel,
    Value,
    from_bytes,
    from_quant_scheme,
    tensor_scheme,
    to_bytes,
    to_quant_scheme,
)
from quant.burn_rules import BURN_HEAD_FLEX, BURN_HEAD_NDARRAY, BURN_RULE_SETS
from quant.dequantize import dequantize
from quant.fake import quantized_operand
from quant.mapping import Extent
from quant.qparams import range_of
from quant.rules import Rules
from quant.scale import stored_scale
from quant.scheme import TensorScheme
from suites.directed_groups import same_bits

FP32, FP16, BF16, E4M3 = torch.float32, torch.float16, torch.bfloat16, torch.float8_e4m3fn


def head(*block: int, scale: torch.dtype = FP32, rules: Rules = BURN_HEAD_NDARRAY, **fields: Any) -> TensorScheme:
    """Q8S in blocks, or with one scale."""
    level = BlockLevel(block) if block else TensorLevel()
    return tensor_scheme(BurnScheme(level=level, scale_dtype=scale, **fields), rules)


def gaussian(std: float) -> Tensor:
    return std * torch.randn(64, 64, generator=torch.Generator().manual_seed(0))


def error(x: Tensor, scheme: TensorScheme) -> float:
    """The root of the mean square of what quantizing loses."""
    lost: Tensor = quantized_operand(x, scheme).dequantized.double() - x.double()
    return lost.square().mean().sqrt().item()


# --- both ways --------------------------------------------------------------------------------------------------------

HEADS = [name for name in BURN_RULE_SETS if name != "burn_3042"]


@pytest.mark.parametrize("backend", HEADS)
@pytest.mark.parametrize(
    "burn",
    [
        BurnScheme(scale_dtype=E4M3),
        BurnScheme(value=Value.Q4F, level=BlockLevel((16,)), scale_dtype=E4M3),
        BurnScheme(level=BlockLevel((2, 16)), scale_dtype=E4M3, global_dtype=FP32),
        BurnScheme(level=BlockLevel((32,)), scale_dtype=FP16, global_dtype=FP32),
        BurnScheme(value=Value.Q2S, calibration=Calibration.ABS_MEAN),
    ],
)
def test_schemes_come_back(burn: BurnScheme, backend: str) -> None:
    assert from_quant_scheme(to_quant_scheme(burn, backend)) == (burn, backend)


def test_a_leading_extent_of_one_is_left_out() -> None:
    own = to_quant_scheme(BurnScheme(level=BlockLevel((32,))), HEADS[0])
    longer = replace(own, weight=replace(own.weight, granularity=PerBlock((1, 32))))
    assert to_quant_scheme(*from_quant_scheme(longer)) == own


LEVELS = BurnScheme(level=BlockLevel((4,)), scale_dtype=FP16, global_dtype=FP32)
MEANS = BurnScheme(calibration=Calibration.ABS_MEAN)
REFUSED: list[tuple[str, Callable[[], object]]] = [
    ("global_dtype is torch.float32 and level is TensorLevel()", lambda: BurnScheme(global_dtype=FP32)),
    ("calibration is abs_mean; burn_3042 has min_max alone", lambda: to_quant_scheme(MEANS)),
    (
        "extent is abs_mean; Burn's calibrations are min_max, mean",
        lambda: from_quant_scheme(QuantScheme(weight=replace(head(), extent=Extent.ABS_MEAN), product=ProductRules())),
    ),
    (
        "extent is mean and global_scale_dtype is torch.float32",
        lambda: to_quant_scheme(replace(LEVELS, calibration=Calibration.ABS_MEAN), HEADS[0]),
    ),
    (
        "scale_dtype is torch.bfloat16 and global_scale_dtype is torch.float32",
        lambda: to_quant_scheme(replace(LEVELS, scale_dtype=BF16), HEADS[0]).weight.resolved(FP32),
    ),
]


@pytest.mark.parametrize(("sentence", "build"), REFUSED, ids=[sentence for sentence, _ in REFUSED])
def test_what_has_no_meaning_is_a_sentence(sentence: str, build: Callable[[], object]) -> None:
    with pytest.raises(ValueError) as refused:
        build()
    assert sentence in str(refused.value)


# --- scales rounded up ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("scale", "eight_bits", "half", "brain"),
    [
        (0.3, 0.3125, 0.300048828125, 0.30078125),
        (1 / 3, 0.34375, 0.33349609375, 0.333984375),
        (0.014173228, 0.015625, 0.0141754150390625, 0.01422119140625),
        (1e-3, 2.0**-9, None, None),
        (7.7e-4, 2.0**-9, None, None),
        (500.0, 448.0, 500.0, 500.0),
        (0.0, 0.0, 0.0, 0.0),
    ],
)
def test_scales_are_rounded_up(scale: float, eight_bits: float, half: float | None, brain: float | None) -> None:
    for dtype, expected in ((E4M3, eight_bits), (FP16, half), (BF16, brain)):
        stored, upper = stored_scale(torch.tensor([scale]), head(scale=dtype).resolved(FP32))
        assert upper is None
        assert stored.dtype is dtype
        assert expected in (None, stored.item())


def test_what_is_no_number_and_what_has_no_end() -> None:
    for dtype, infinite in ((E4M3, 448.0), (FP16, torch.inf)):
        given = torch.tensor([torch.nan, torch.inf, 1e30])
        stored, _ = stored_scale(given, head(scale=dtype).resolved(FP32))
        assert stored[0].isnan()
        assert stored[1:].tolist() == [infinite, torch.finfo(dtype).max]


def test_a_scale_of_zeros_is_replaced_where_it_is_read_or_stored() -> None:
    """ndarray stores 0 and reads a tenth in fp32; flex stores fp32's smallest normal number, rounded up."""
    x = torch.zeros(1, 4)
    for rules, stored in ((BURN_HEAD_NDARRAY, 0.0), (BURN_HEAD_FLEX, 2.0**-9)):
        operand = quantized_operand(x, head(4, scale=E4M3, rules=rules))
        assert operand.qparams.scale.item() == stored
        assert operand.codes.tolist() == [[0, 0, 0, 0]]


def test_codes_are_of_the_rounded_scale() -> None:
    """1.8 / 127 becomes 1 / 64, of which 1.8 is 115.2 steps."""
    operand = quantized_operand(torch.tensor([-1.8, -1.0, 0.0, 0.5]), head(scale=E4M3))
    assert operand.qparams.scale.item() == 2.0**-6
    assert operand.codes.tolist() == [-115, -64, 0, 32]
    assert operand.dequantized.tolist() == [-115 / 64, -1.0, 0.0, 0.5]


# --- two levels -------------------------------------------------------------------------------------------------------


def test_the_upper_level_puts_the_largest_scale_at_the_end_of_the_lower_dtype() -> None:
    """Scales 1/127, 10/127, ... over 1000/127/448: 0.448 becomes 0.46875, 4.48 4.5, 44.8 48."""
    x = torch.cat([torch.cat([torch.full((2, 4), a), torch.full((2, 4), 10 * a)], 1) for a in (1.0, 100.0)])
    qparams = choose_qparams(x, head(2, 4, scale=E4M3, global_dtype=FP32))
    assert qparams.global_scale is not None
    assert same_bits(qparams.global_scale, (torch.tensor([[1000.0]]) / 127) / 448)
    assert qparams.scale.tolist() == [[0.46875, 4.5], [48.0, 448.0]]
    assert same_bits(qparams.effective_scale, qparams.global_scale * qparams.scale.float())


def test_a_tensor_of_zeros_has_a_normal_upper_scale() -> None:
    for scale in (E4M3, FP16):
        operand = quantized_operand(torch.zeros(2, 8), head(4, scale=scale, global_dtype=FP32))
        assert operand.qparams.global_scale is not None
        assert operand.qparams.global_scale.item() == 2.0**-126
        assert not operand.dequantized.any()


# --- bytes ------------------------------------------------------------------------------------------------------------


def test_eight_values_in_fourteen_bytes() -> None:
    x = torch.linspace(-1, 1, 8)
    burn = BurnScheme(level=BlockLevel((4,)), scale_dtype=E4M3, global_dtype=FP32)
    found = quantize(x, choose_qparams(x, tensor_scheme(burn, BURN_HEAD_NDARRAY)))
    data = to_bytes(found)
    assert len(data) == 8 + 2 + 4
    assert data[8:10] == bytes(found.qparams.scale.view(torch.uint8).tolist())
    back = from_bytes(data, burn, BURN_HEAD_NDARRAY, (8,), FP32)
    assert same_bits(dequantize(back, FP32), dequantize(found, FP32))
    with pytest.raises(ValueError, match=r"^there are 10 bytes; a tensor \(8,\) of q8s has 8 of codes and 6 of scales"):
        from_bytes(data[:-4], burn, BURN_HEAD_NDARRAY, (8,), FP32)


@pytest.mark.parametrize("value", Value)
@pytest.mark.parametrize(("scale", "upper"), [(E4M3, None), (E4M3, FP32), (FP16, FP32)])
def test_14_bytes_of_two_levels(value: Value, scale: torch.dtype, upper: torch.dtype | None) -> None:
    x = torch.arange(256.0).reshape(16, 16) / 256
    burn = BurnScheme(value=value, level=BlockLevel((2, 16)), scale_dtype=scale, global_dtype=upper)
    found = quantize(x, choose_qparams(x, tensor_scheme(burn, BURN_HEAD_NDARRAY)))
    data = to_bytes(found, by_rows=True)
    assert len(data) == 256 * value.bits // 8 + 8 * scale.itemsize + (0 if upper is None else 4)
    back = from_bytes(data, burn, BURN_HEAD_NDARRAY, (16, 16), FP32, by_rows=True)
    assert same_bits(back.codes, found.codes)
    assert same_bits(dequantize(back, FP32), dequantize(found, FP32))


# --- means ------------------------------------------------------------------------------------------------------------


def test_3c_mean_of_magnitudes() -> None:
    one, two = [-0.9, -0.3, 0.0, 0.6], [0.1, 0.2, 0.3, 0.4]
    rules = BURN_HEAD_NDARRAY.with_values(mean_accumulate="exact")
    for x, block, expected in ((torch.tensor(one), (), [0.45]), (torch.tensor([one, two]), (4,), [0.45, 0.25])):
        low, high = range_of(x, head(*block, rules=rules, calibration=Calibration.ABS_MEAN).resolved(FP32))
        assert same_bits(low, -high)
        assert [round(end, 7) for end in high.flatten().tolist()] == expected


@pytest.mark.parametrize("order", ["native", "float32_sequential", "exact"])
def test_a_ternary_tensor_of_means(order: str) -> None:
    """2 * 0.45 / 2 steps: 0.6 is 1.33 steps, 0.3 two thirds of one, and 0.9 is cut to one."""
    scheme = tensor_scheme(
        BurnScheme(value=Value.Q2S, scale_dtype=FP32, calibration=Calibration.ABS_MEAN),
        BURN_HEAD_NDARRAY.with_values(mean_accumulate=order),
    )
    operand = quantized_operand(torch.tensor([-0.9, -0.3, 0.0, 0.6]), scheme)
    assert operand.codes.tolist() == [-1, -1, 0, 1]
    assert round(operand.qparams.scale.item(), 7) == 0.45


def test_the_order_of_a_mean_is_declared() -> None:
    """2^24 + 1 + 1 is 2^24 one by one in fp32, and 2^24 + 2 exactly."""
    x = torch.tensor([2.0**24, 1, 1, 0])
    means = {}
    for order in ("float32_sequential", "exact"):
        rules = BURN_HEAD_NDARRAY.with_values(mean_accumulate=order)
        means[order] = range_of(x, head(rules=rules, calibration=Calibration.ABS_MEAN).resolved(FP32))[1].item()
    assert means == {"float32_sequential": 2.0**22, "exact": 2.0**22 + 0.5}


# --- blocks -----------------------------------------------------------------------------------------------------------


def test_15_blocks_are_rectangles() -> None:
    x = torch.cat([torch.cat([torch.full((2, 4), a), torch.full((2, 4), 10 * a)], 1) for a in (1.0, 100.0)])
    found = quantized_operand(x, head(2, 4))
    assert same_bits(found.qparams.scale, torch.tensor([[1.0, 10], [100, 1000]]) / 127)
    assert same_bits(found.dequantized, x)


def test_blocks_lie_at_the_last_dimensions() -> None:
    """Dimensions before a block's have extent 1, and leading extents of 1 are none."""
    assert BlockLevel.of(1, 1, 32) == BlockLevel((32,))
    assert BlockLevel.of(1, 1) == BlockLevel((1,))
    assert BlockLevel.of(2, 1, 4) == BlockLevel((2, 1, 4))
    x = torch.randn(3, 4, 8, generator=torch.Generator().manual_seed(0))
    whole = quantized_operand(x, head(2, 4))
    assert whole.qparams.scale.shape == (3, 2, 2)
    for i, matrix in enumerate(x):
        assert same_bits(quantized_operand(matrix, head(2, 4)).codes, whole.codes[i])
    with pytest.raises(ValueError, match=r"^blocks of \(2, 2, 4\) do not tile the shape \(4, 8\)"):
        quantized_operand(x[0], head(2, 2, 4))
    with pytest.raises(ValueError, match=r"^blocks of \(3, 4\) do not tile"):  # Burn: "must be evenly divisible"
        quantized_operand(x, head(3, 4))


# --- what rounding up is for ------------------------------------------------------------------------------------------


def test_22_what_narrow_scales_cost() -> None:
    """Burn's own sample: fp32 .0055, eight bits .0058 up and .0112 to nearest, where half of the maxima are clipped."""
    x = gaussian(1.0)
    wide, up = error(x, head(32)), error(x, head(32, scale=E4M3))
    nearest = error(x, head(32, scale=E4M3, rules=BURN_HEAD_NDARRAY.with_values(scale_rounding="nearest_even")))
    assert wide < up < 1.3 * wide
    assert nearest > 1.8 * up
    assert [round(lost, 4) for lost in (wide, up, nearest)] == [0.0055, 0.0058, 0.0106]


def test_22_one_level_of_eight_bits_fails_small_tensors_and_two_do_not() -> None:
    x = gaussian(0.02)
    two = head(32, scale=E4M3, global_dtype=FP32)
    assert error(x, head(32, scale=E4M3)) > 2 * error(x, head(32))
    assert error(x, two) < 1.3 * error(x, head(32))
    large, small = (quantized_operand(gaussian(1.0) * 2.0**-k, two) for k in (0, 60))
    assert same_bits(large.codes, small.codes)
    assert same_bits(large.qparams.scale, small.qparams.scale)
    assert same_bits(large.dequantized, small.dequantized * 2.0**60)


@pytest.mark.parametrize(("scale", "to_nearest"), [(FP16, 68), (BF16, 56), (E4M3, 67)])
def test_22_a_scale_rounded_up_keeps_every_maximum_within_the_grid(scale: torch.dtype, to_nearest: int) -> None:
    """Rounded to nearest, half of the 128 maxima lie beyond 127 steps."""
    x = gaussian(1.0)
    reach = x.abs().unflatten(1, (-1, 32)).amax(-1)
    beyond = {}
    for rounding in ("up", "nearest_even"):
        scheme = head(32, scale=scale)
        scheme = replace(scheme, rules=scheme.rules.with_values(scale_rounding=rounding))
        beyond[rounding] = int((reach.double() > 127 * choose_qparams(x, scheme).scale.double()).sum())
    assert beyond == {"up": 0, "nearest_even": to_nearest}
