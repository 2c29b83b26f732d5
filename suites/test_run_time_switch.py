"""Fake quantization off: outputs and gradients are bit for bit those of the float layers; on again: as before."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor, nn

from quant import (
    Mechanism,
    QuantScheme,
    convert,
    disable_fake_quantization,
    enable_fake_quantization,
    prepare,
    presets,
)
from suites.directed_groups import FLOATS, same_bits
from suites.quant_layers import embedding, linear, numbers

SCHEMES = {
    "8da4w": presets.int8_dynamic_intx_weight(group_size=8),
    "weight_only": presets.intx_weight_only(bits=2, group_size=8),
}
INDICES = torch.tensor([[0, 4, 2], [2, 2, 1]])


def model(dtype: torch.dtype, padding_idx: int | None = None) -> nn.Module:
    return nn.Sequential(embedding(dtype, padding_idx), linear(dtype=dtype))


def computed(module: nn.Module) -> dict[str, Tensor]:
    """The output of the model and the gradient of each of its Parameters."""
    module.zero_grad()
    output = module(INDICES)
    output.backward(numbers(tuple(output.shape), output.dtype, 11))
    gradients = {name: value.grad.clone() for name, value in module.named_parameters() if value.grad is not None}
    return {"output": output.detach()} | gradients


def differing(a: dict[str, Tensor], b: dict[str, Tensor]) -> list[str]:
    assert a.keys() == b.keys()
    return [name for name in a if not same_bits(a[name], b[name])]


@pytest.mark.parametrize("mechanism", Mechanism)
@pytest.mark.parametrize("scheme", SCHEMES.values(), ids=SCHEMES)
@pytest.mark.parametrize("padding_idx", [None, 2])
@pytest.mark.parametrize("dtype", FLOATS, ids=str)
def test_off_is_the_float_model_and_on_is_as_before(
    scheme: QuantScheme, padding_idx: int | None, dtype: torch.dtype, mechanism: Mechanism
) -> None:
    plain = model(dtype, padding_idx)
    prepared = prepare(copy.deepcopy(plain), scheme, mechanism=mechanism)
    before = computed(prepared)
    assert "output" in differing(before, computed(plain))
    assert disable_fake_quantization(prepared) is prepared
    assert differing(computed(prepared), computed(plain)) == []
    assert enable_fake_quantization(prepared) is prepared
    assert differing(computed(prepared), before) == []


def test_a_single_layer_can_be_switched() -> None:
    prepared = prepare(model(torch.float32), SCHEMES["8da4w"])
    disable_fake_quantization(prepared[1])
    assert [layer.fake_quantization for layer in prepared] == [True, False]
    assert [layer.fake_quantization for layer in copy.deepcopy(prepared)] == [True, False]


def test_convert_does_not_depend_on_the_switch() -> None:
    expected = convert(prepare(model(torch.float32), SCHEMES["8da4w"]))(INDICES)
    prepared = disable_fake_quantization(prepare(model(torch.float32), SCHEMES["8da4w"]))
    assert same_bits(convert(prepared)(INDICES), expected)


@pytest.mark.parametrize("switch", [disable_fake_quantization, enable_fake_quantization])
def test_a_model_without_prepared_layers_is_refused(switch: object) -> None:
    assert callable(switch)
    with pytest.raises(ValueError, match=r"^the model holds no layer that prepare made; call prepare\(model, scheme\)"):
        switch(model(torch.float32))
