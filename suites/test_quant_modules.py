"""Whole models: what is replaced, what is refused, what a state dict carries, and every dtype a layer may have."""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from quant import (
    Mapping,
    ProductRules,
    convert,
    prepare,
    presets,
    quantize_,
)
from quant.embedding import FakeQuantizedEmbedding, QuantizedEmbedding
from quant.linear import FakeQuantizedLinear, QuantizedLinear
from suites.directed_groups import FLOATS, same_bits
from suites.quant_layers import ENGINE, SCHEME, embedding, layer_scheme, linear, numbers


class Model(nn.Module):
    """An embedding, two linears of which one hangs twice, and a norm that nobody quantizes."""

    def __init__(self) -> None:
        super().__init__()
        self.table = embedding()
        self.body = nn.Sequential(linear(), nn.LayerNorm(4), nn.Linear(4, 16))
        self.again = self.body[0]

    def forward(self, indices: Tensor) -> Tensor:
        hidden = self.body(self.table(indices))
        result: Tensor = self.again(hidden)
        return result


# --- flows ---------------------------------------------------------------------------------------------------------


def test_every_linear_and_embedding_is_replaced_in_place() -> None:
    model = Model()
    body, norm, parameters = model.body, model.body[1], [model.table.weight, model.body[0].weight]
    assert prepare(model, presets.intx_weight_only()) is model
    assert [type(m) for m in (model.table, model.body[0], model.body[2])] == [
        FakeQuantizedEmbedding,
        FakeQuantizedLinear,
        FakeQuantizedLinear,
    ]
    assert model.body is body
    assert model.body[1] is norm
    assert model.again is model.body[0]
    assert model.table.weight is parameters[0]
    assert model.body[0].weight is parameters[1]
    assert isinstance(model.body[0], nn.Linear)
    assert convert(model) is model
    assert isinstance(model.table, QuantizedEmbedding)
    assert isinstance(model.body[0], QuantizedLinear)
    assert model.again is model.body[0]


def test_flows_of_a_model_agree() -> None:
    """PTQ, prepare and convert of one model give the bits of each other, tied modules and all."""
    scheme, indices = presets.intx_weight_only(), torch.tensor([[0, 4], [2, 2]])
    model = Model().eval()
    stored = quantize_(copy.deepcopy(model), scheme)(indices)
    prepared = prepare(copy.deepcopy(model), scheme)
    fake = prepared(indices).detach()
    assert same_bits(fake, stored)
    assert same_bits(convert(prepared)(indices), stored)


def test_a_root_that_is_a_layer_is_returned_anew() -> None:
    layer = linear()
    assert isinstance(quantize_(layer, SCHEME), QuantizedLinear)
    prepared = prepare(layer, SCHEME)
    assert isinstance(prepared, FakeQuantizedLinear)
    assert isinstance(convert(prepared), QuantizedLinear)


def test_filter_sees_qualified_names_and_chooses() -> None:
    model, seen = Model(), []

    def only_last(module: nn.Module, name: str) -> bool:
        seen.append(name)
        return name == "body.2"

    quantize_(model, presets.intx_weight_only(), only_last)
    assert isinstance(model.body[2], QuantizedLinear)
    assert type(model.body[0]) is nn.Linear
    assert type(model.table) is nn.Embedding
    assert {"table", "body.0", "body.2", "again"} <= set(seen)


def test_a_tied_module_chosen_by_one_name_is_replaced_everywhere() -> None:
    model = Model()
    prepare(model, presets.intx_weight_only(), lambda module, name: name == "again")
    assert isinstance(model.body[0], FakeQuantizedLinear)
    assert model.again is model.body[0]


def test_training_mode_is_kept() -> None:
    model = Model().eval()
    model.body.train()
    prepare(model, presets.intx_weight_only())
    assert model.body[0].training
    assert not model.table.training


def test_an_optimizer_made_before_goes_on_working() -> None:
    layer = linear()
    optimizer = torch.optim.SGD(layer.parameters(), lr=0.1)
    prepared = prepare(layer, SCHEME)
    before = prepared.weight.detach().clone()
    prepared(numbers((2, 16))).sum().backward()
    optimizer.step()
    assert not torch.equal(prepared.weight, before)


def test_prepared_layers_copy_save_and_load() -> None:
    prepared = prepare(linear(), SCHEME)
    twin = copy.deepcopy(prepared)
    other = prepare(linear(seed=7), SCHEME)
    other.load_state_dict(prepared.state_dict())
    x = numbers((2, 16))
    assert list(prepared.state_dict()) == ["weight", "bias"]
    for layer in (twin, other):
        assert same_bits(layer(x).detach(), prepared(x).detach())


# --- refusals ------------------------------------------------------------------------------------------------------


def test_nothing_chosen_is_an_error() -> None:
    nothing = nn.Sequential(nn.ReLU())
    with pytest.raises(
        ValueError, match=r"^quantize_ found no nn\.Linear or nn\.Embedding that filter_fn lets through"
    ):
        quantize_(nothing, SCHEME)
    with pytest.raises(ValueError, match=r"^prepare found no nn\.Linear or nn\.Embedding that filter_fn lets through"):
        prepare(Model(), SCHEME, lambda module, name: False)
    with pytest.raises(ValueError, match=r"^convert found no layer that prepare made; call prepare\(model, scheme\)"):
        convert(Model())


@pytest.mark.parametrize(("option", "value"), [("max_norm", 1.0), ("sparse", True), ("scale_grad_by_freq", True)])
def test_embeddings_that_change_their_table_are_refused(option: str, value: Any) -> None:
    model = nn.Sequential(nn.Embedding(5, 16, **{option: value}))
    for flow in (quantize_, prepare):
        with pytest.raises(ValueError, match=f"^the embedding has {option}={value}, which quantization does not keep"):
            flow(model, presets.intx_weight_only())
    quantize_(nn.Sequential(model[0], linear()), SCHEME, lambda module, name: name == "1")


@pytest.mark.parametrize("flow", [quantize_, prepare])
def test_a_refusal_leaves_the_model_as_it_was(flow: Any) -> None:
    """The second layer does not divide into groups; the first is not replaced either."""
    model = nn.Sequential(linear(), nn.Linear(10, 4))
    with pytest.raises(ValueError, match=r"^group size 8 does not divide the last dimension of \(4, 10\)"):
        quantize_(model, SCHEME)
    assert [type(m) for m in model] == [nn.Linear, nn.Linear]
    if flow is prepare:
        prepared = prepare(model, SCHEME)
        with pytest.raises(ValueError, match=r"^group size 8 does not divide"):
            convert(prepared)
        assert [type(m) for m in prepared] == [FakeQuantizedLinear, FakeQuantizedLinear]


def test_an_input_of_another_dtype_is_refused() -> None:
    for layer in (quantize_(linear(), SCHEME), prepare(linear(), SCHEME)):
        with pytest.raises(ValueError, match=r"^the input is torch.bfloat16 and the layer's weight is torch.float32"):
            layer(numbers((2, 16), torch.bfloat16))


@pytest.mark.parametrize("name", ["weight_scale", "weight_zero_point"])
def test_a_cast_quantized_layer_is_refused(name: str) -> None:
    weight = replace(SCHEME.weight, zero_point_dtype=torch.float32)
    layer = quantize_(linear(), replace(SCHEME, weight=weight))
    layer._buffers[name] = layer._buffers[name].half()
    with pytest.raises(ValueError, match=f"^{name} is torch.float16 and the scheme stores torch.float32"):
        layer(numbers((2, 16)))


# --- layers --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("rank", [1, 2, 3, 4])
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("rules", ["engine", "torchao"])
def test_inputs_of_one_to_four_dimensions(rank: int, bias: bool, rules: str) -> None:
    scheme = presets.int8_dynamic_intx_weight(group_size=8, rules=rules)
    x = numbers((2, 3, 2, 16)[4 - rank :])
    stored, fake = quantize_(linear(bias), scheme), prepare(linear(bias), scheme)
    assert stored(x).shape == (*x.shape[:-1], 4)
    assert same_bits(stored(x), fake(x).detach())
    rows = torch.stack([stored(row) for row in x.reshape(-1, 16)]).reshape(stored(x).shape)
    if rules == "engine":  # an exact product does not see how many rows there are
        assert same_bits(stored(x), rows)


@pytest.mark.parametrize("scale_dtype", [*FLOATS, torch.float64, "model"], ids=str)
@pytest.mark.parametrize("dtype", FLOATS, ids=str)
@pytest.mark.parametrize("bits", range(1, 9))
def test_every_number_of_bits_and_scale_dtype(bits: int, scale_dtype: torch.dtype, dtype: torch.dtype) -> None:
    scheme = presets.int8_dynamic_intx_weight(
        bits=bits, group_size=8, scale_dtype=scale_dtype, activation_scale_dtype=scale_dtype
    )
    layer, prepared = quantize_(linear(dtype=dtype), scheme), prepare(linear(dtype=dtype), scheme)
    x = numbers((3, 16), dtype, 5)
    assert layer.weight_scale.dtype is (dtype if scale_dtype == "model" else scale_dtype)
    assert layer(x).dtype is dtype
    assert same_bits(layer(x), prepared(x).detach())


@pytest.mark.parametrize("zero_point_dtype", [torch.int8, torch.int16, torch.int32, torch.int64, *FLOATS], ids=str)
@pytest.mark.parametrize("dtype", FLOATS, ids=str)
def test_the_dtype_of_an_integer_zero_point_moves_no_value(zero_point_dtype: torch.dtype, dtype: torch.dtype) -> None:
    scheme = layer_scheme(mapping=Mapping.ASYMMETRIC, zero_point_dtype=zero_point_dtype)
    plain = layer_scheme(mapping=Mapping.ASYMMETRIC)
    x = numbers((3, 16), dtype, 5)
    layer = quantize_(linear(dtype=dtype), scheme)
    assert layer.weight_zero_point.dtype is zero_point_dtype
    assert same_bits(layer(x), quantize_(linear(dtype=dtype), plain)(x))


@pytest.mark.parametrize("output_dtype", FLOATS, ids=str)
def test_declared_output_dtype(output_dtype: torch.dtype) -> None:
    scheme = replace(presets.intx_weight_only(), output_dtype=output_dtype)
    for flow in (quantize_, prepare):
        assert flow(linear(dtype=torch.bfloat16), scheme)(numbers((2, 16), torch.bfloat16)).dtype is output_dtype
        assert flow(embedding(torch.bfloat16), scheme)(torch.tensor([1])).dtype is output_dtype


@pytest.mark.parametrize("product", ["exact", "native"])
def test_an_operand_that_is_never_rounded_meets_a_16_bit_input(product: str) -> None:
    """operand_dtype float32 with a bf16 input: the operands meet in fp32, the output is bf16."""
    rules = ENGINE.with_values(operand_dtype="float32")
    scheme = layer_scheme(rules=rules)
    if product == "native":
        scheme = replace(scheme, product=ProductRules())
    layer, prepared = quantize_(linear(dtype=torch.bfloat16), scheme), prepare(linear(dtype=torch.bfloat16), scheme)
    x = numbers((2, 16), torch.bfloat16)
    assert layer.stages(x).weight.dequantized.dtype is torch.float32
    assert layer(x).dtype is torch.bfloat16
    prepared(x).sum().backward()
    assert prepared.weight.grad is not None
    assert prepared.weight.grad.dtype is torch.bfloat16
    assert same_bits(layer(x), prepared(x).detach())


def test_an_embedding_uses_the_weight_part_and_keeps_its_padding_row() -> None:
    prepared = prepare(embedding(padding_idx=2), SCHEME)
    prepared(torch.tensor([2, 3])).sum().backward()
    assert prepared.weight.grad is not None
    assert (prepared.weight.grad[2] == 0).all()
    assert (prepared.weight.grad[3] != 0).any()
    stages = prepared.stages(torch.tensor([2, 3]))
    assert stages.input is None
    assert same_bits(stages.output.detach(), stages.weight.dequantized[2:4].detach())


def test_stacked_embeddings_are_looked_up_alone() -> None:
    scheme = layer_scheme()
    tables, indices = numbers((3, 5, 16)), torch.tensor([[[0, 4]], [[1, 1]], [[3, 2]]])
    stacked = QuantizedEmbedding.from_float(tables, None, scheme.stacked())
    for case in range(3):
        alone = QuantizedEmbedding.from_float(tables[case], None, scheme)
        assert same_bits(stacked(indices)[case], alone(indices[case]))


def test_a_layer_says_what_it_is() -> None:
    assert str(quantize_(linear(), SCHEME)) == "QuantizedLinear(in_features=16, out_features=4, dtype=torch.float32)"
