"""The numbers of Burn's own tests, under the numbers their study gives them: met exactly, or with the exact value.

Burn accepts |x - y| < max(abs, rel * |x + y|), so many of its lists are what float arithmetic would give. Here stands
what the declared steps give, to the digits written, and Burn's number beside it where the two part.
"""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from quant import choose_qparams, quantize
from quant.burn import BlockLevel, BurnScheme, TensorLevel, Value, from_bytes, tensor_scheme, to_bytes
from quant.burn_rules import BURN_3042, BURN_3042_FULL, BURN_HEAD_FLEX, BURN_HEAD_NDARRAY
from quant.code_linear import code_linear_product
from quant.decisions import Accumulate
from quant.dequantize import dequantize
from quant.fake import Operand, quantized_operand
from quant.layouts import u32
from quant.product import linear_product
from quant.product_rules import ProductRules
from quant.qparams import QParams, qparams_of_range, range_of
from quant.rules import Rules
from quant.scheme import TensorScheme
from suites.directed_groups import same_bits

FP32 = torch.float32
Q8S = tensor_scheme(BurnScheme(), BURN_3042)
EXACT = ProductRules(accumulate=Accumulate.EXACT)
UNIT = torch.tensor([-1.8, -1.0, 0.0, 0.5])
ROWS = torch.tensor([[-1.8, -1, 0, 0.5], [1.8, 1, 0, -0.5], [0.01, 0.02, 0.03, 0.04], [-0.01, -0.02, -0.03, -0.04]])
A, B = torch.tensor([[1, 6.35], [2, 3], [1, 3]]), torch.tensor([[4, 8, 12.7], [2, 3, 6]])
SMALL = torch.arange(6.0).reshape(2, 3)


def head(value: Value, *block: int, scale: torch.dtype = FP32, rules: Rules = BURN_HEAD_NDARRAY) -> TensorScheme:
    level = BlockLevel(block) if block else TensorLevel()
    return tensor_scheme(BurnScheme(value=value, level=level, scale_dtype=scale), rules)


def made(x: Tensor, scheme: TensorScheme = Q8S) -> Operand:
    """quantize_dynamic: a fresh scale of its own."""
    return quantized_operand(x, scheme)


def read(x: Tensor, scheme: TensorScheme = Q8S) -> Tensor:
    return made(x, scheme).dequantized


def times(x: Tensor, w: Tensor) -> Tensor:
    """x @ w, exactly, rounded once to fp32."""
    return linear_product(x, w.mT.contiguous(), None, EXACT, FP32)


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


# --- products ---------------------------------------------------------------------------------------------------------


def test_8_two_quantized_matrices() -> None:
    """Integers, times 0.1 * 0.05. The kernel of #3042 then rounds to fp16: 16.703125 stands for Burn's 16.7."""
    a, b = made(A), made(B.mT.contiguous())
    assert (a.codes.int() @ b.codes.int().mT).tolist() == [[3340, 5410, 10160], [2800, 5000, 8680], [2000, 3400, 6140]]
    expected = [16.7, 27.05, 50.8, 14, 25, 43.4, 10, 17, 30.7]
    assert to(5, times(read(A), read(B))) == expected
    by_kernel = code_linear_product(a, b, None, BURN_3042_FULL, FP32)
    assert by_kernel.flatten().tolist() == torch.tensor(expected).half().float().tolist()


def test_9_vectors_and_stacks() -> None:
    """Burn allows 1 % and 0.1; 7 and 2 do not lie on the grid, so 18 is 17.8817 exactly."""
    row, column = torch.tensor([[1, 2, 3, 6.35]]), torch.tensor([[12.7], [4], [5], [1]])
    assert to(5, times(read(row), read(column))) == [42.05]
    one = torch.tensor([[12.7, 4], [2, 3]])
    assert to(5, times(read(A[:2]), read(one))) == [25.4, 23.05, 31.4, 17.0]
    left, right = read(torch.tensor([[1.0, 7], [2, 3]])), read(torch.tensor([[[4.0, 7], [2, 3]], [[2, 5], [6, 3]]]))
    assert to(4, times(left, right[0])) == [17.8817, 27.7795, 13.8898, 22.7486]  # 18, 28, 14, 23
    assert to(4, times(left, right[1])) == [44.0237, 25.8109, 21.8190, 18.8113]  # 44, 26, 22, 19


def test_10_propagated_product_and_sum() -> None:
    product = made(times(read(A), read(B)))
    assert product.codes.tolist() == [[42, 68, 127], [35, 63, 109], [25, 43, 77]]
    assert to(6, product.qparams.scale) == [0.4]
    added = made(product.dequantized + 1)
    assert added.codes.tolist() == [[44, 69, 127], [37, 64, 109], [27, 45, 78]]
    assert same_bits(added.qparams.scale, torch.tensor([[0.40787402]]))


X = torch.tensor([[1, 6.35, 2, 3], [2, 3, 4, 5], [1, 3, 5, 7]])
W = torch.tensor([[4, 8, 12.7, 1.6], [2, 3, 6, 4], [1, 5, 9, 2.5], [3, 7, 11, 0.5]])


def test_12_only_a_dequantized_weight_gives_these_numbers() -> None:
    """Head's rule meets Burn's list to the last digit; that of #3042, which quantizes the input, 27.559 for 27.7."""
    expected = [27.7, 58.05, 101.8, 33.5, 33, 80, 134.4, 27.7, 36, 91, 152.7, 29.6]
    assert to(4, times(X, read(W))) == expected
    merge = to(3, times(read(X), read(W)))
    assert merge[:4] == [27.559, 57.709, 101.23, 33.391]
    assert round(max(abs(a - b) for a, b in zip(expected, merge, strict=True)), 3) == 0.57


def test_12b_a_quantized_left_side() -> None:
    assert to(4, times(read(X), W))[:4] == [27.5591, 57.7087, 101.2299, 33.3905]  # Burn allows 2 %: 27.7, 58.05, ..


def test_23_gradients_pass_a_frozen_base() -> None:
    """x @ (dequantized w + a @ b): every gradient is that of w as a plain leaf, and w has none."""
    leaves = [torch.randn(3, 3, generator=torch.Generator().manual_seed(seed)) for seed in range(4)]
    grads = []
    for base in (read(leaves[3]), made(leaves[3]).dequantized.clone()):
        x, a, b = (leaf.clone().requires_grad_() for leaf in leaves[:3])
        (x @ (base + a @ b)).sum().backward()
        assert base.grad is None
        grads.append([x.grad, a.grad, b.grad])
    assert all(same_bits(one, other) for one, other in zip(*grads, strict=True))


# --- results of other operations, composed of their steps ------------------------------------------------------------


def test_13_times_ten() -> None:
    x = read(torch.arange(32.0)) * 10
    told = [0, 9.76378, 19.52756, 29.29134, 39.05512, 48.818897, 61.02362, 70.7874]
    assert to(5, read(x)[:8]) == [round(v, 5) for v in told]
    assert to(5, read(x)[-2:]) == [300.23624, 310.0]


def test_16_sums_and_products() -> None:
    """Every integer but the largest lies off its grid: Burn's 6 is 5.976, and its 9 is 8.953."""
    x, y = read(SMALL), read(SMALL + 6)
    assert to(3, x + y) == [5.976, 8, 9.976, 12, 13.976, 16]
    assert to(3, x - y) == [-5.976, -6.031, -5.961, -6.016, -5.945, -6]
    assert to(3, x * x) == [0, 0.969, 4.032, 8.953, 16.126, 25]
    broadcast = read(SMALL[:1]) + read(SMALL + 3)
    assert to(3, broadcast) == [3.024, 5.039, 6.976, 5.984, 8, 10]


def test_17_reductions() -> None:
    """The errors of the six cancel in the sum. The product that Burn puts at 240 is 238.394 exactly (its tolerance 0.1
    held because no backend with these semantics ran it).
    """
    x = read(SMALL)
    assert (x.sum().item(), x.mean().item()) == (15.0, 2.5)
    assert to(4, x.sum(1)) == [2.9921, 12.0079]  # 3, 12
    assert to(4, x.amax(1)) == [2.0079, 5.0]  # 2, 5
    assert x.argmax(1).tolist() == [2, 2]
    assert read(torch.tensor([[10.0, 11, 2], [3, 4, 5]])).argmax(0).tolist() == [0, 0, 1]
    assert to(3, read(torch.tensor([[2.0, 1, 2], [3, 4, 5]])).double().prod()) == [238.394]


def test_18_order() -> None:
    x = torch.tensor([0.5, 1.2, -0.21, 0, 2.1, 0.94, -0.3, 2.3, 5.2, 4, 0.99, 3, -8.1])
    assert read(x).argsort().tolist() == [12, 6, 2, 3, 0, 5, 10, 1, 4, 7, 11, 9, 8]


def test_19_what_gives_floats() -> None:
    """Burn's 3 % 3 = 0 is 0.0236: 2 / (127/3) and 2 / (127/2) round to different grids, 4 and 2 codes apart."""
    mask = read(torch.tensor([[1.0, 7], [2, 3]])), read(torch.tensor([[1.8, 2.8], [3.8, 4.8]]))
    chosen = torch.where(torch.eye(2, dtype=torch.bool), mask[1], mask[0])
    assert to(4, chosen) == [1.8142, 7.0, 1.9843, 4.8]  # 1.8, 7, 2, 4.8
    added = read(torch.tensor([0.0, 1, 2])).index_add(
        0, torch.tensor([1, 1, 0, 1, 2]), read(torch.tensor([5.0, 4, 3, 2, 1]))
    )
    assert to(4, added) == [2.9921, 12.0315, 2.9843]  # 3, 12, 3
    left = read(torch.tensor([-3.0, -2, -1, 1, 2, 2]))
    right = read(torch.tensor([2.0, 3, 1, 2, 1, 2]))
    assert to(4, torch.remainder(left, right)) == [1.0157, 0.9921, 0.0, 0.9921, 0.0236, 0.0]  # 1, 1, 0, 1, 0, 0
