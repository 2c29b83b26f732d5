"""Quantizing again what was read back: symmetric ranges stay, full ranges drift; scales of Q8S are torchao's."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor
from torchao.quantization.quant_primitives import MappingType, choose_qparams_affine

from quant import choose_qparams
from quant.burn import BlockLevel, BurnScheme, Value, tensor_scheme
from quant.burn_rules import BURN_3042, BURN_HEAD_FLEX, BURN_HEAD_NDARRAY, BURN_RULE_SETS
from quant.fake import quantized_operand
from quant.rules import Rules
from suites.directed_groups import same_bits

FP32 = torch.float32


def rounds(value: Value, data: list[float], times: int) -> list[Tensor]:
    """The tensor after each time that it is quantized with a fresh scale and read back."""
    scheme = tensor_scheme(BurnScheme(value=value, scale_dtype=FP32), BURN_HEAD_NDARRAY)
    read = [torch.tensor(data)]
    for _ in range(times):
        read.append(quantized_operand(read[-1], scheme).dequantized)
    return read[1:]


@pytest.mark.parametrize("value", [value for value in Value if value.is_symmetric])
@pytest.mark.parametrize("data", [[1, 0.3], [-1, 0.3]])
def test_a_symmetric_range_is_read_back_alike(value: Value, data: list[float]) -> None:
    first, *others = rounds(value, data, 5)
    assert first[0].item() == data[0]
    assert all(same_bits(first, other) for other in others)


def moved_maxima(value: Value, rules: Rules, dtype: torch.dtype, step: int = 1) -> tuple[int, int]:
    """(how many maxima are read back otherwise when they are quantized again, of how many): every mantissa of dtype."""
    integers, mantissa = {2: torch.int16, 4: torch.int32}[dtype.itemsize], -int(math.log2(torch.finfo(dtype).eps))
    first = torch.ones((), dtype=dtype).view(integers)
    maxima = (first + torch.arange(0, 2**mantissa, step, dtype=integers)).view(dtype).reshape(-1, 1)
    scheme = tensor_scheme(BurnScheme(value=value, level=BlockLevel((1,))), rules)
    once = quantized_operand(maxima, scheme).dequantized
    return int((quantized_operand(once, scheme).dequantized != once).sum()), len(maxima)


@pytest.mark.parametrize("step", [257, pytest.param(1, marks=pytest.mark.nightly)])
@pytest.mark.parametrize("value", [value for value in Value if value.is_symmetric])
def test_a_symmetric_maximum_of_every_mantissa_is_read_back_alike(value: Value, step: int) -> None:
    """2 * fl(127 s) / 254 is s again: no idempotence by chance."""
    assert moved_maxima(value, BURN_3042, torch.float32, step)[0] == 0
    for name, rules in BURN_RULE_SETS.items():
        for dtype in (torch.bfloat16, torch.float16):
            assert moved_maxima(value, rules, dtype)[0] == 0 or name == "burn_head_flex"


@pytest.mark.parametrize(
    ("value", "dtype", "recorded"),
    [
        (Value.Q8S, torch.bfloat16, (29, 128)),
        (Value.Q8S, torch.float16, (500, 1024)),
        (Value.Q4S, torch.bfloat16, (31, 128)),
        (Value.Q4S, torch.float16, (239, 1024)),
    ],
)
def test_flex_drifts_on_symmetric_values_whose_scales_have_sixteen_bits(
    value: Value, dtype: torch.dtype, recorded: tuple[int, int]
) -> None:
    """It computes scales in fp32 and rounds them up: of what was read back in 16 bits, to the next one."""
    assert moved_maxima(value, BURN_HEAD_FLEX, dtype) == recorded


@pytest.mark.parametrize(
    ("value", "data", "recorded"),
    [
        (Value.Q4F, [1, 0.3], [0.9333, 0.8711, 0.8130, 0.7588]),
        (Value.Q2F, [-1, 0.3], [-1.3333, -1.7778, -2.3704, -3.1605]),
        (Value.Q2F, [1, 0.3], [0.6667, 0.4444, 0.2963, 0.1975]),
        (Value.Q8F, [-1, 0.3], [-0.9961, -1.0000, -1.0039, -1.0078]),
        (Value.Q8F, [1, 0.3], [0.9961, 0.9922, 0.9883, 0.9844]),
    ],
)
def test_a_full_range_drifts_by_the_recorded_figures(value: Value, data: list[float], recorded: list[float]) -> None:
    """+a is half a step beyond the grid and clipped; -a is a tie that one ulp of the scale decides."""
    assert [round(read[0].item(), 4) for read in rounds(value, data, 4)] == recorded


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_symmetric_scales_are_torchao_s(dtype: torch.dtype) -> None:
    """2a / 254 and a / 127 are one number, where 2a does not overflow and torchao's eps does not act."""
    x = torch.randn(512, 32, generator=torch.Generator().manual_seed(0)).exp().to(dtype)
    scheme = tensor_scheme(
        BurnScheme(level=BlockLevel((32,))), BURN_HEAD_NDARRAY.with_values(scale_rounding="nearest_even")
    )
    scale, _ = choose_qparams_affine(x, MappingType.SYMMETRIC, (1, 32), torch.int8, quant_min=-127, quant_max=127)
    assert same_bits(choose_qparams(x, scheme).scale, scale.reshape(-1, 1))
