"""What Burn panics at, and the sentence that is raised here in its place, or what is computed and why that is right."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from quant import PerBlock, PerTensor, QuantizedTensor, QuantScheme
from quant.burn import (
    BlockLevel,
    BurnScheme,
    Value,
    burn_3042,
    burn_head_ndarray,
    from_bytes,
    to_bytes,
    to_quant_scheme,
)
from quant.burn_rules import BURN_3042 as RULES
from quant.quantized_tensor import BURN_3042, BURN_HEAD, BURN_HEAD_NDARRAY, Contract
from suites.directed_groups import same_bits
from suites.quant_layers import layer_scheme, numbers


def q(
    shape: tuple[int, ...] = (4, 16), scheme: QuantScheme | None = None, contract: Contract = BURN_3042
) -> QuantizedTensor:
    return QuantizedTensor.from_float(numbers(shape), burn_3042() if scheme is None else scheme, contract)


BLOCKS = burn_head_ndarray(Value.Q8S, level=BlockLevel((4,)))

REFUSED: dict[str, tuple[Callable[[], object], str]] = {
    "Primitive type mismatch for lhs and rhs": (
        lambda: q() + numbers((4, 16)),
        r"^add was given a quantized and a float tensor, which the contract burn_3042 refuses; dequantize the one",
    ),
    "Concatenation only works with vector of QFloat": (
        lambda: torch.cat([q(), numbers((4, 16))]),
        "^cat was given a quantized and a float tensor, which the contract burn_3042 refuses",
    ),
    "data of another dtype than QFloat": (
        lambda: q().copy_(numbers((4, 16))),
        r"^copy_ writes the codes of another QuantizedTensor of the same scheme, dtype and shape; it was given a Ten",
    ),
    "data of another scheme": (
        lambda: QuantizedTensor(q().quantized, BLOCKS, torch.float32),
        "^the qparams are of the scheme .* give the scheme that the qparams were chosen by",
    ),
    "Invalid quantized type": (
        lambda: from_bytes(to_bytes(q().quantized), BurnScheme(), RULES, (4, 15), torch.float32),
        r"^there are 68 bytes; a tensor \(4, 15\) of q8s has 60 of codes and 4 of scales$",
    ),
    "Only f32 data type can be quantized": (
        lambda: QuantizedTensor.from_float(numbers((4, 16)).double(), burn_3042()),
        "^the tensor's dtype is torch.float64; quantization takes one of float32, bfloat16, float16$",
    ),
    "NaN as an integer": (
        lambda: QuantizedTensor.from_float(torch.tensor([1.0, torch.nan]), burn_3042()),
        "^[12] of 2 values to quantize are NaN; nan_code is raise$",
    ),
    "inner dimensions of a product": (
        lambda: q() @ q(),
        "^a product sums over k, which is 16 on the left and 4 on the right$",
    ),
    "must be evenly divisible": (
        lambda: q((4, 6), BLOCKS, BURN_HEAD),
        r"^group size 4 does not divide the last dimension of \(4, 6\)",
    ),
    "Invalid per-block quantization": (
        lambda: q(scheme=BLOCKS, contract=BURN_HEAD_NDARRAY)[:2],
        r"^moved_scales is in_place and codes of shape \(2, 16\) have 8 blocks of PerGroup\(size=4\), where there a",
    ),
    "blocks at the merge": (
        lambda: to_quant_scheme(BurnScheme(level=BlockLevel((4,)))),
        "^level is BlockLevel.* burn_3042 has one scale a tensor, q8s",
    ),
    "operands of two backends": (
        lambda: q() + q(contract=BURN_HEAD),
        "^the operands follow the contracts burn_3042 and burn_head; one operation follows one$",
    ),
}


@pytest.mark.parametrize("panic", REFUSED)
def test_what_burn_panics_at_is_a_sentence(panic: str) -> None:
    refused, sentence = REFUSED[panic]
    with pytest.raises(ValueError, match=sentence):
        refused()


def test_what_torch_refuses_is_left_to_torch() -> None:
    for refused in (lambda: torch.cat([q(), q((4, 8))]), lambda: q().reshape(-1, -1)):
        with pytest.raises(RuntimeError):
            refused()


def test_what_burn_has_not_implemented_is_computed() -> None:
    """flip of blocks on GPUs; a reshape that splits a block over rows, whose halves keep its scale; mixed operands."""
    of = q(scheme=BLOCKS, contract=BURN_HEAD)
    assert same_bits(of.flip(1).dequantize(), of.dequantize().flip(1))
    split = of.reshape(32, 2)
    assert isinstance(split, QuantizedTensor)
    assert split.tensor_scheme.granularity == PerBlock((2, 2))
    assert same_bits(split.dequantize(), of.dequantize().reshape(32, 2))
    assert same_bits(of + 1.5, of.dequantize() + 1.5)
    assert same_bits(of * numbers((16,)), of.dequantize() * numbers((16,)))


def test_tensors_of_two_schemes_are_compared_by_their_values() -> None:
    """Burn panics; torch.equal asks about numbers, and numbers on both grids are equal."""
    x = torch.tensor([[127.0, -127, 3, 0]])
    mine = QuantizedTensor.from_float(x, burn_3042())
    other = QuantizedTensor.from_float(x, layer_scheme(bits=8, qmin=-127, qmax=127, granularity=PerTensor()))
    assert mine.scheme != other.scheme
    assert torch.equal(mine, other)
    assert not torch.equal(mine, -other)
