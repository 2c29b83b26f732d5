"""The numbers of Burn's own tests, under the numbers their study gives them: met exactly, or with the exact value.

Burn accepts |x - y| < max(abs, rel * |x + y|), so many of its lists are what float arithmetic would give. Here stands
what the declared steps give, to the digits written, and Burn's number beside it where the two part.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch
from torch import Tensor

from quant import choose_qparams, quantize
from quant.burn import BlockLevel, BurnScheme, TensorLevel, Value, from_bytes, tensor_scheme, to_bytes
from quant.burn_rules import BURN_3042, BURN_HEAD_FLEX, BURN_HEAD_NDARRAY
from quant.dequantize import dequantize
from quant.fake import Operand, quantized_operand
from quant.layouts import u32
from quant.qparams import QParams, qparams_of_range, range_of
from quant.rules import Rules
from quant.scheme import TensorScheme
from suites.directed_groups import same_bits

FP32 = torch.float32
Q8S = tensor_scheme(BurnScheme(), BURN_3042)
UNIT = torch.tensor([-1.8, -1.0, 0.0, 0.5])
ROWS = torch.tensor([[-1.8, -1, 0, 0.5], [1.8, 1, 0, -0.5], [0.01, 0.02, 0.03, 0.04], [-0.01, -0.02, -0.03, -0.04]])
SMALL = torch.arange(6.0).reshape(2, 3)


def head(value: Value, *block: int, scale: torch.dtype = FP32, rules: Rules = BURN_HEAD_NDARRAY) -> TensorScheme:
    level = BlockLevel(block) if block else TensorLevel()
    return tensor_scheme(BurnScheme(value=value, level=level, scale_dtype=scale), rules)


def made(x: Tensor, scheme: TensorScheme = Q8S) -> Operand:
    """quantize_dynamic: a fresh scale of its own."""
    return quantized_operand(x, scheme)


def to(digits: int, t: Tensor) -> list[float]:
    return [round(v, digits) for v in t.double().flatten().tolist()]


# --- scales and codes -------------------------------------------------------------------------------------------------


def test_1_symmetric_unit() -> None:
    found = made(UNIT)
    assert found.codes.tolist() == [-127, -71, 0, 35]
    assert to(7, found.dequantized) == [-1.8, -1.0062993, 0.0, 0.496063]


def test_2_a_range_without_zero_has_the_same_scale() -> None:
    qparams = qparams_of_range(torch.tensor([0.5]), torch.tensor([1.8]), Q8S.resolved(FP32))
    assert same_bits(qparams.scale, torch.tensor([0.014173228]))
    assert qparams.zero_point is None


def test_2b_and_3b_blocks() -> None:
    """Ranges are widened to zero here, which a symmetric scale does not see."""
    scheme = head(Value.Q8S, 4).resolved(FP32)
    low, high = range_of(ROWS, scheme)
    assert low.flatten().tolist() == torch.tensor([-1.8, -0.5, 0.0, -0.04]).tolist()
    assert high.flatten().tolist() == torch.tensor([0.5, 1.8, 0.04, 0.0]).tolist()
    assert to(8, qparams_of_range(low, high, scheme).scale) == [0.01417323, 0.01417323, 0.00031496, 0.00031496]


def test_3_range_of_the_whole() -> None:
    low, high = range_of(UNIT, Q8S.resolved(FP32))
    assert (low.item(), high.item()) == (UNIT[0].item(), 0.5)


def test_4_a_given_scale_is_kept() -> None:
    qparams = QParams(scale=torch.tensor([0.014173228]), zero_point=None, scheme=Q8S.resolved(FP32))
    assert quantize(UNIT, qparams).codes.tolist() == [-127, -71, 0, 35]


def test_5_dynamic() -> None:
    found = made(torch.tensor([5, 0, 4, -12.7]))
    assert found.codes.tolist() == [50, 0, 40, -127]
    assert same_bits(found.qparams.scale, torch.tensor([0.1]))


def test_20_full_range_scale() -> None:
    x = torch.tensor([-5, -2.5, 0, 2.5, 5, 7.5])
    scale = choose_qparams(x, head(Value.Q8F, rules=BURN_HEAD_FLEX)).scale
    assert same_bits(scale, torch.tensor([15.0]) / 255)


# --- bytes ------------------------------------------------------------------------------------------------------------


def test_6_and_14_bytes_give_the_same_values() -> None:
    found = quantize(SMALL, choose_qparams(SMALL, Q8S))
    assert found.codes.flatten().tolist() == [0, 25, 51, 76, 102, 127]
    data = to_bytes(found)
    assert len(data) == 8 + 4  # six codes fill two words; then the scale
    back = from_bytes(data, BurnScheme(), BURN_3042, (2, 3), FP32)
    assert same_bits(back.qparams.scale, torch.tensor([[0.03937008]]))
    assert same_bits(dequantize(back, FP32), dequantize(found, FP32))


@pytest.mark.parametrize("value", Value)
@pytest.mark.parametrize("scale", [torch.float32, torch.float16, torch.bfloat16])
def test_14_bytes_of_blocks(value: Value, scale: torch.dtype) -> None:
    x = torch.arange(256.0).reshape(16, 16) / 256
    burn = BurnScheme(value=value, level=BlockLevel((2, 16)), scale_dtype=scale)
    found = quantize(x, choose_qparams(x, tensor_scheme(burn, BURN_HEAD_NDARRAY)))
    data = to_bytes(found, by_rows=True)
    assert len(data) == 256 * value.bits // 8 + 8 * scale.itemsize
    back = from_bytes(data, burn, BURN_HEAD_NDARRAY, (16, 16), FP32, by_rows=True)
    assert same_bits(back.codes, found.codes)
    assert same_bits(dequantize(back, FP32), dequantize(found, FP32))


def test_7_words() -> None:
    five = torch.tensor([-128, 2, -3, 127, 55], dtype=torch.int8)
    assert u32.pack(five[:4], 8).tolist() == [2147287680]
    assert u32.pack(five, 8).tolist() == [2147287680, 55]
    assert u32.unpack(torch.tensor([2147287680, 55], dtype=torch.int32), 8, 5).tolist() == five.tolist()
    assert u32.unpack(torch.tensor([55], dtype=torch.int32), 8, 1).tolist() == [55]
    assert u32.pack(torch.ones(3, 3, dtype=torch.int8), 4).shape == (3, 1)  # by rows three words, in one run two


def test_21_sixteen_words_of_four_bits() -> None:
    codes = torch.arange(8).repeat_interleave(torch.tensor([10, *[18] * 6, 10]))
    words = u32.pack(codes, 4)
    assert (words.numel(), words[:4].tolist()) == (16, [0, 286331136, 286331153, 572657937])
    assert torch.equal(u32.unpack(words, 4, 128), codes.to(torch.int8))


# --- all of them ------------------------------------------------------------------------------------------------------

WHERE = {
    **dict.fromkeys(("1", "2", "2b", "3", "3b", "4", "5", "6", "7", "20", "21"), "test_burn_goldens"),
    **dict.fromkeys(("3c", "14", "15", "22"), "test_burn_scales"),
    **dict.fromkeys(("8", "9", "9b", "10", "11", "12", "12b", "13", "16", "17", "18", "19", "23"), "test_burn_tensors"),
}


def test_every_numbered_test_of_burn_stands_in_a_suite() -> None:
    """Numbers and scales, bytes and codes here; what is new in scales, and operations, in suites of their own."""
    assert {*WHERE} == {*map(str, range(1, 24)), "2b", "3b", "3c", "9b", "12b"}
    for suite in {*WHERE.values()}:
        names = re.findall(r"^def test_(\w+)\(", Path(__file__).with_name(f"{suite}.py").read_text(), re.MULTILINE)
        held = {number for name in names for number in re.findall(r"(?:^|_and_)(\d+[abc]?)(?=_)", name)}
        assert {number for number, of in WHERE.items() if of == suite} <= held, suite
