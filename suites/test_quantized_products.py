"""Products of quantized tensors: exact integers, both epochs' rules, and by whose scheme the result is quantized."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from quant import PerAxis, PerGroup, PerTensor, ProductRules, Propagation, QuantizedTensor, QuantScheme
from quant.product import linear_product
from quant.quantized_tensor import (
    BURN_3042,
    BURN_3042_NDARRAY,
    BURN_HEAD,
    BURN_HEAD_GPU,
    CONTRACTS,
    ENGINE,
    Contract,
)
from suites.directed_groups import same_bits
from suites.quant_layers import layer_scheme, numbers

FULL = ProductRules().with_values(accumulate="float32_sequential", product_output="via_float16")
HALF = ProductRules().with_values(accumulate="float16_sequential", product_output="via_float16")
CODES = ProductRules().with_values(product_operands="codes", accumulate="int32", bias_add="before_output_cast")
EXACT = ProductRules().with_values(accumulate="exact")
SHAPES = [
    ((3, 8), (8, 5)),
    ((8,), (8,)),
    ((8,), (8, 5)),
    ((3, 8), (8,)),
    ((2, 3, 8), (8, 5)),
    ((2, 3, 8), (2, 8, 5)),
    ((2, 1, 3, 8), (4, 8, 5)),
    ((8,), (2, 8, 5)),
    ((2, 3, 8), (8,)),
]
A = torch.tensor([[1, 6.35, 2, 3], [2, 3, 4, 5], [1, 3, 5, 7]])
B = torch.tensor([[4, 8, 12.7, 1.6], [2, 3, 6, 4], [1, 5, 9, 2.5], [3, 7, 11, 0.5]])


def scheme(product: ProductRules = EXACT, propagation: Propagation = Propagation.INHIBIT, bits: int = 8) -> QuantScheme:
    top = 2 ** (bits - 1) - 1
    made = layer_scheme(bits=bits, qmin=-top, qmax=top, granularity=PerTensor())
    codes = product.product_operands == "codes"
    return replace(made, activation=made.weight if codes else None, product=product, propagation=propagation)


def quantized(x: Tensor, of: QuantScheme | None = None, contract: Contract = ENGINE) -> QuantizedTensor:
    return QuantizedTensor.from_float(x, scheme() if of is None else of, contract)


def integers(shape: tuple[int, ...], step: int) -> Tensor:
    """Integers from -9 to 9 and one 127: the scale is 1, and no sum of products leaves fp32 or fp16."""
    values = (torch.arange(torch.Size(shape).numel()) * step) % 19 - 9
    values[0] = 127
    return values.reshape(shape).float()


@pytest.mark.parametrize("rules", [EXACT, FULL, CODES], ids=["exact", "full", "codes"])
@pytest.mark.parametrize(("left", "right"), SHAPES, ids=str)
def test_products_of_every_rank_are_torchs(left: tuple[int, ...], right: tuple[int, ...], rules: ProductRules) -> None:
    a, b = integers(left, 5), integers(right, 7)
    b.view(-1)[0], b.view(-1)[-1] = 3, 127
    result = quantized(a, scheme(rules)) @ quantized(b, scheme(rules))
    assert type(result) is Tensor
    expected = torch.matmul(a, b)
    assert same_bits(result, expected.half().float() if rules is FULL else expected)


def test_half_sums_in_fp16_one_by_one() -> None:
    """2048 + 1 is 2048 in fp16."""
    ones = torch.full((1, 4096), 127.0)
    one = quantized(ones, scheme(HALF))
    unit = replace(one.quantized.qparams, scale=torch.full_like(one.quantized.qparams.scale, 1 / 127))
    ones_again = one.with_quantized(replace(one.quantized, qparams=unit))
    assert (ones_again @ ones_again.t()).item() == 2048.0
    full = QuantizedTensor(ones_again.quantized, scheme(FULL), torch.float32)
    assert (full @ full.t()).item() == 4096.0


@pytest.mark.parametrize("contract", CONTRACTS.values(), ids=[*CONTRACTS])
def test_float_by_quantized_is_requantized_only_in_burn_3042(contract: Contract) -> None:
    """Burn's matrices of #3637: the default tolerance there passes only where the left side stays float."""
    right = quantized(B, scheme(), contract)
    result = A @ right
    assert type(result) is Tensor
    requantizes = contract in (BURN_3042, BURN_3042_NDARRAY)
    left = quantized(A).dequantize() if requantizes else A
    if contract is ENGINE or requantizes:  # the scheme's own rules, which sum exactly
        assert same_bits(result, linear_product(left, right.dequantize().mT, None, EXACT, torch.float32))
    else:
        assert same_bits(result, A @ right.dequantize())
    expected = [27.559055, 57.709, 101.230] if requantizes else [27.7, 58.05, 101.8]
    assert [round(value, 1) for value in result[0, :3].tolist()] == [round(value, 1) for value in expected]


@pytest.mark.parametrize("contract", CONTRACTS.values(), ids=[*CONTRACTS])
def test_mixed_products_follow_propagation_except_quantized_by_float_in_burn_3042(contract: Contract) -> None:
    q = quantized(B, scheme(propagation=Propagation.PROPAGATE), contract)
    by_float, float_by = q @ A.t(), A @ q
    assert isinstance(float_by, QuantizedTensor)
    assert float_by.scheme == q.scheme
    assert isinstance(by_float, QuantizedTensor) is (contract not in (BURN_3042, BURN_3042_NDARRAY))


@pytest.mark.parametrize(
    ("contract", "bits"), [(ENGINE, 8), (BURN_3042, 8), (BURN_HEAD_GPU, 8), (BURN_HEAD, 4)], ids=lambda v: str(v)[:24]
)
def test_of_two_schemes_the_contract_says_which_is_propagated(contract: Contract, bits: int) -> None:
    """Burn at its head: one backend's operations take the right side's, another's the left side's."""
    left = quantized(A, scheme(propagation=Propagation.PROPAGATE), contract)
    right = quantized(B, scheme(propagation=Propagation.PROPAGATE, bits=4), contract)
    result = left @ right
    assert isinstance(result, QuantizedTensor)
    assert result.scheme.weight.bits == bits
    value = linear_product(left.dequantize(), right.dequantize().mT, None, EXACT, torch.float32)
    assert same_bits(result.dequantize(), (left if bits == 8 else right).requantized(value).dequantize())
    sums = left + right[:3]
    assert isinstance(sums, QuantizedTensor)
    assert sums.scheme == left.scheme


def test_every_spelling_of_a_product_is_the_same() -> None:
    x, w, bias = quantized(numbers((3, 8))), quantized(numbers((5, 8), seed=1)), numbers((5,), seed=2)
    expected = linear_product(x.dequantize(), w.dequantize(), None, EXACT, torch.float32)
    spelled = (x @ w.t(), torch.matmul(x, w.mT), x.mm(w.t()), F.linear(x, w), torch.mm(input=x, mat2=w.t()))
    stacked = torch.bmm(x[None], w.t()[None])[0]
    assert all(same_bits(result, expected) for result in (*spelled, stacked, w.t().__rmatmul__(x)))
    assert same_bits(x.mv(w[2]), expected[:, 2])
    assert same_bits(x[1].dot(w[2]), expected[1, 2])
    with_bias = linear_product(x.dequantize(), w.dequantize(), bias, EXACT, torch.float32)
    assert same_bits(F.linear(x, w, bias=bias), with_bias)
    assert same_bits(F.linear(x.dequantize(), w, bias), with_bias)


def test_gradients_reach_the_float_operand_alone() -> None:
    """A frozen quantized base beside trained factors: the gradients are those of its dequantized values as a leaf."""
    w = quantized(numbers((5, 8)))
    x, again = numbers((3, 8), seed=3).requires_grad_(), numbers((3, 8), seed=3).requires_grad_()
    F.linear(x, w).square().sum().backward()
    linear_product(again, w.dequantize(), None, EXACT, torch.float32).square().sum().backward()
    assert same_bits(x.grad, again.grad)
    assert w.grad is None


def test_a_product_of_codes_needs_one_scale_a_row() -> None:
    x, along_k = quantized(numbers((4, 8)), scheme(CODES)), scheme(CODES)
    along_k = replace(along_k, weight=replace(along_k.weight, granularity=PerAxis(0)))
    w = quantized(numbers((8, 4)), along_k)
    with pytest.raises(ValueError, match="the right side has blocks of"):
        x @ w
    turned = quantized(numbers((4, 8)), along_k).t()
    assert (x @ turned).shape == (4, 4)
    with pytest.raises(ValueError, match="sums over k, which is 8 on the left and 4"):
        x @ w.t()


def test_a_product_takes_groups_along_k_as_values() -> None:
    of = scheme()
    w = quantized(numbers((5, 8)), replace(of, weight=replace(of.weight, granularity=PerGroup(4))))
    x = numbers((3, 8), seed=1)
    assert same_bits(x @ w.t(), linear_product(x, w.dequantize(), None, EXACT, torch.float32))
