"""Granularities: who shares a scale, for 1 to 4 dimensions, and many cases stacked as if each were alone."""

from __future__ import annotations

from itertools import product
from typing import Any

import pytest
import torch
from torch import Tensor

from parity.counter import normal_like, words
from quant import (
    Mapping,
    PerAxis,
    PerBlock,
    PerGroup,
    PerRow,
    PerTensor,
    PerToken,
    ProductRules,
    QuantScheme,
    TensorScheme,
    choose_qparams,
    dequantize,
    quantize,
    rules_named,
)
from quant.fake import fake_operand
from quant.granularity import Granularity, Stacked, groups_of
from quant.linear import FakeQuantizedLinear, QuantizedLinear
from quant.mapping import INTEGER_GRIDS
from suites.directed_groups import same_bits

ENGINE, TORCHAO = rules_named("engine")[0], rules_named("torchao")[0]

# granularity, shape, shape of its qparams
SHAPES: list[tuple[Granularity, tuple[int, ...], tuple[int, ...]]] = [
    (PerTensor(), (6,), (1,)),
    (PerTensor(), (4, 6), (1, 1)),
    (PerTensor(), (2, 3, 4, 6), (1, 1, 1, 1)),
    (PerTensor(), (), ()),
    (PerAxis(0), (6,), (6,)),
    (PerAxis(0), (4, 6), (4, 1)),
    (PerAxis(-1), (4, 6), (1, 6)),
    (PerAxis(1), (2, 3, 4), (1, 3, 1)),
    (PerAxis(2), (2, 3, 4, 6), (1, 1, 4, 1)),
    (PerToken(), (6,), (1,)),
    (PerToken(), (4, 6), (4, 1)),
    (PerToken(), (2, 3, 6), (2, 3, 1)),
    (PerToken(), (2, 3, 4, 6), (2, 3, 4, 1)),
    (PerRow(), (4, 6), (4, 1)),
    (PerRow(), (2, 4, 6), (2, 4, 1)),
    (PerGroup(3), (6,), (2,)),
    (PerGroup(3), (4, 6), (4, 2)),
    (PerGroup(6), (4, 6), (4, 1)),
    (PerGroup(1), (4, 6), (4, 6)),
    (PerGroup(2), (2, 3, 4, 6), (2, 3, 4, 3)),
    (PerBlock((2, 3)), (4, 6), (2, 2)),
    (PerBlock((4, 6)), (4, 6), (1, 1)),
    (PerBlock((1, 2, 1, 6)), (3, 4, 5, 6), (3, 2, 5, 1)),
    (PerBlock((2,)), (6,), (3,)),
    (Stacked(PerTensor()), (5, 4, 6), (5, 1, 1)),
    (Stacked(PerAxis(0)), (5, 4, 6), (5, 4, 1)),
    (Stacked(PerBlock((2, 3))), (5, 4, 6), (5, 2, 2)),
    (Stacked(PerGroup(3)), (5, 6), (5, 2)),
]


def scheme(granularity: Granularity, **changes: Any) -> TensorScheme:
    values: dict[str, Any] = {"bits": 8, "qmin": -128, "qmax": 127, "eps": 1e-6, "rules": TORCHAO}
    return TensorScheme(granularity=granularity, **(values | changes))


def numbers(shape: tuple[int, ...], dtype: torch.dtype, seed: int = 0) -> Tensor:
    return normal_like(words(seed, 4 * torch.Size(shape).numel()), dtype).reshape(shape)


def blocks_of(x: Tensor, granularity: Granularity) -> list[tuple[tuple[int, ...], Tensor]]:
    """(index of the qparam, the elements that share it), by slicing."""
    sizes = granularity.block_shape(tuple(x.shape))
    counts = [n // b for n, b in zip(x.shape, sizes, strict=True)]
    return [
        (index, x[tuple(slice(i * b, (i + 1) * b) for i, b in zip(index, sizes, strict=True))])
        for index in product(*map(range, counts))
    ]


@pytest.mark.parametrize(("granularity", "shape", "expected"), SHAPES, ids=str)
@pytest.mark.parametrize("mapping", INTEGER_GRIDS)
def test_each_block_is_quantized_as_if_alone(
    granularity: Granularity, shape: tuple[int, ...], expected: tuple[int, ...], mapping: Mapping
) -> None:
    x = numbers(shape, torch.bfloat16)
    together = scheme(granularity, mapping=mapping)
    quantized = quantize(x, choose_qparams(x, together))
    qparams = quantized.qparams
    assert qparams.zero_point is not None
    assert qparams.scale.shape == qparams.zero_point.shape == expected
    assert quantized.codes.shape == shape
    back = dequantize(quantized, x.dtype)
    alone = scheme(PerTensor(), mapping=mapping)
    for index, block in blocks_of(x, granularity):
        single = quantize(block, choose_qparams(block, alone))
        assert single.qparams.zero_point is not None
        assert same_bits(single.qparams.scale.reshape(()), qparams.scale[index].reshape(()))
        assert same_bits(single.qparams.zero_point.reshape(()), qparams.zero_point[index].reshape(()))
    for (_, codes), (_, values), (_, block) in zip(
        blocks_of(quantized.codes, granularity), blocks_of(back, granularity), blocks_of(x, granularity), strict=True
    ):
        single = quantize(block, choose_qparams(block, alone))
        assert same_bits(single.codes, codes)
        assert same_bits(dequantize(single, x.dtype), values)


@pytest.mark.parametrize(("granularity", "shape", "expected"), SHAPES, ids=str)
def test_groups_split_spread_and_join(
    granularity: Granularity, shape: tuple[int, ...], expected: tuple[int, ...]
) -> None:
    groups = groups_of(granularity, shape)
    x = torch.arange(torch.Size(shape).numel()).reshape(shape)
    assert groups.qparam_shape == expected
    assert torch.equal(groups.join(groups.split(x)), x)
    qparam = torch.arange(torch.Size(expected).numel()).reshape(expected)
    spread = groups.join(groups.spread(qparam).expand(groups.split(x).shape))
    for index, block in blocks_of(spread, granularity):
        assert (block == qparam[index]).all()


@pytest.mark.parametrize("layout", ["transposed", "sliced", "expanded"])
def test_strides_move_no_bit(layout: str) -> None:
    plain = numbers((8, 16), torch.float32)
    strided = {
        "transposed": plain.t().contiguous().t(),
        "sliced": torch.cat([plain, plain + 1], 1)[:, :16],
        "expanded": plain[:1].expand(8, 16),
    }[layout]
    for granularity in (PerTensor(), PerAxis(1), PerToken(), PerGroup(4), PerBlock((2, 8))):
        ours, other = (fake_operand(x, scheme(granularity)) for x in (strided, strided.contiguous()))
        assert same_bits(ours.codes, other.codes)
        assert same_bits(ours.dequantized, other.dequantized)


@pytest.mark.parametrize("rules", ["engine", "torchao"])
@pytest.mark.parametrize("operands", ["dequantized", "codes"])
@pytest.mark.parametrize("rank", [2, 3])
def test_stacked_cases_give_the_bits_of_each_case_alone(rules: str, operands: str, rank: int) -> None:
    """Scales, codes, values, outputs and gradients of five layers at once."""
    tensor_rules, product_rules = rules_named(rules)
    weights = scheme(PerAxis(0), rules=tensor_rules, mapping=Mapping.ASYMMETRIC, zero_point_dtype=torch.int8)
    tokens = scheme(PerToken(), rules=tensor_rules, mapping=Mapping.ASYMMETRIC)
    if operands == "codes":
        product_rules = ProductRules().with_values(
            product_operands="codes", accumulate="int32", bias_add="after_output_cast"
        )
    layer = QuantScheme(weight=weights, activation=tokens, product=product_rules)
    w, bias = numbers((5, 4, 8), torch.float32, 1), numbers((5, 4), torch.float32, 2)
    x = numbers((5, *(3, 2)[: rank - 1], 8), torch.float32, 3)
    stack_of = _trained(x, w, bias, layer.stacked())
    for case in range(5):
        alone = _trained(x[case], w[case], bias[case], layer)
        for name, value in alone.items():
            assert same_bits(value, stack_of[name][case]), name


def _trained(x: Tensor, w: Tensor, bias: Tensor, layer: QuantScheme) -> dict[str, Tensor]:
    x = x.clone().requires_grad_()
    module = FakeQuantizedLinear(torch.nn.Parameter(w.clone()), torch.nn.Parameter(bias.clone()), layer)
    stages = module.stages(x)
    grad = numbers((8,), x.dtype, 4)[: stages.output.shape[-1]]
    stages.output.backward(grad.expand(stages.output.shape))
    stored = QuantizedLinear.from_float(w, bias, layer).stages(x.detach())
    assert stages.input is not None
    assert x.grad is not None
    assert module.weight.grad is not None
    assert module.bias.grad is not None
    return {
        "input scale": stages.input.qparams.scale,
        "input codes": stages.input.codes,
        "weight scale": stages.weight.qparams.scale,
        "weight codes": stages.weight.codes,
        "output": stages.output.detach(),
        "stored output": stored.output,
        "input gradient": x.grad,
        "weight gradient": module.weight.grad,
        "bias gradient": module.bias.grad,
    }
