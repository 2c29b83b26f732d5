"""An embedding and a head that share one Parameter: it trains once, converts once, and stays shared."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor, nn

from quant import QuantScheme, convert, prepare, presets, quantize_
from quant.embedding import FakeQuantizedEmbedding, QuantizedEmbedding
from quant.linear import FakeQuantizedLinear, QuantizedLinear
from quant.stored import BUFFERS
from suites.directed_groups import same_bits
from suites.quant_layers import embedding, numbers

SCHEME = presets.intx_weight_only(bits=4, group_size=8)
INDICES = torch.tensor([[0, 4], [2, 2]])


class Tied(nn.Module):
    """Rows of a table, a norm, and the scores of all rows."""

    def __init__(self) -> None:
        super().__init__()
        self.table = embedding(padding_idx=2)
        self.norm = nn.LayerNorm(16)
        self.head = nn.Linear(16, 5, bias=False)
        self.head.weight = self.table.weight

    def forward(self, indices: Tensor) -> Tensor:
        scores: Tensor = self.head(self.norm(self.table(indices)))
        return scores


def shares(a: nn.Module, b: nn.Module) -> list[str]:
    """The buffers that two layers hold in common."""
    found = [name for name in BUFFERS if a._buffers.get(name) is not None]
    return [name for name in found if a._buffers[name] is b._buffers[name]]


def test_prepare_keeps_one_parameter() -> None:
    model = Tied()
    weight = model.table.weight
    prepared = prepare(model, SCHEME)
    assert type(prepared.table) is FakeQuantizedEmbedding
    assert type(prepared.head) is FakeQuantizedLinear
    assert prepared.table.weight is weight
    assert prepared.head.weight is weight
    assert [name for name, _ in prepared.named_parameters()] == ["table.weight", "norm.weight", "norm.bias"]


def test_its_gradient_is_the_sum_of_both_uses() -> None:
    """With the straight-through gradient passing unchanged, that of the head plus that of the rows, but the padding."""
    model = prepare(Tied(), SCHEME)
    apart = prepare(Tied(), SCHEME)
    apart.head.weight = nn.Parameter(apart.head.weight.detach().clone())
    for each in (model, apart):
        output = each(INDICES)
        output.backward(numbers(tuple(output.shape), seed=3))
    assert apart.table.weight.grad is not None
    assert (apart.table.weight.grad[2] == 0).all()
    assert apart.head.weight.grad is not None
    assert same_bits(model.table.weight.grad, apart.table.weight.grad + apart.head.weight.grad)


@pytest.mark.parametrize("flow", ["ptq", "convert"])
def test_it_is_quantized_once(flow: str) -> None:
    expected = [Tied(), Tied()]
    expected[1].head.weight = nn.Parameter(expected[1].head.weight.detach().clone())
    model, apart = (quantized(flow, each, SCHEME) for each in expected)
    assert type(model.table) is QuantizedEmbedding
    assert type(model.head) is QuantizedLinear
    assert shares(model.table, model.head) == ["weight_codes", "weight_scale", "weight_zero_point"]
    assert shares(apart.table, apart.head) == []
    assert model.table.padding_idx == 2
    assert same_bits(model(INDICES), apart(INDICES))
    copied = copy.deepcopy(model)
    assert shares(copied.table, copied.head) == shares(model.table, model.head)


def quantized(flow: str, model: nn.Module, scheme: QuantScheme) -> nn.Module:
    return quantize_(model, scheme) if flow == "ptq" else convert(prepare(model, scheme))


def test_two_schemes_for_one_parameter_give_two_codes() -> None:
    model = prepare(Tied(), SCHEME, lambda module, name: name == "table")
    prepare(model, presets.intx_weight_only(bits=8), lambda module, name: name == "head")
    assert model.head.weight is model.table.weight
    convert(model)
    assert shares(model.table, model.head) == []
    assert int(model.head.weight_codes.abs().max()) > 8 >= int(model.table.weight_codes.abs().max())


def test_training_moves_both() -> None:
    """One step of the optimizer, and both layers compute from the same new weight: prepare still equals convert."""
    model = prepare(Tied(), SCHEME)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.5)
    before = model.table(INDICES).detach(), model.head(numbers((2, 16))).detach()
    model(INDICES).sum().backward()
    optimizer.step()
    after = model.table(INDICES).detach(), model.head(numbers((2, 16))).detach()
    assert not any(same_bits(one, other) for one, other in zip(before, after, strict=True))
    output = model(INDICES).detach()
    assert same_bits(convert(model)(INDICES), output)
