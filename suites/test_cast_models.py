"""A model whose dtype changes between prepare, convert and use gives what its scheme declares, or raises."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import nn

from quant import QuantScheme, convert, prepare, presets, quantize_
from suites.directed_groups import FLOATS, same_bits
from suites.quant_layers import embedding, linear, numbers

SCHEMES = {
    "8da4w": presets.int8_dynamic_intx_weight(group_size=8),
    "torchao": presets.int8_dynamic_intx_weight(group_size=8, rules="torchao"),  # every dtype follows the model
    "xnnpack": presets.xnnpack_recipe(group_size=8),
    "float_zero_point": presets.int4_weight_only(group_size=8),
}
pairs = pytest.mark.parametrize(("before", "after"), [(a, b) for a in FLOATS for b in FLOATS], ids=str)
schemes = pytest.mark.parametrize("scheme", SCHEMES.values(), ids=SCHEMES)


@pairs
@schemes
def test_a_prepared_model_cast_before_convert_is_the_cast_model_quantized(
    scheme: QuantScheme, before: torch.dtype, after: torch.dtype
) -> None:
    prepared = prepare(linear(dtype=before), scheme).to(after)
    expected = quantize_(linear(dtype=before).to(after), scheme)
    x = numbers((3, 16), after, 5)
    fake = prepared.eval()(x).detach()
    stored = convert(prepared)
    for name, buffer in expected.named_buffers():
        assert same_bits(stored.get_buffer(name), buffer), name
    assert same_bits(stored(x), expected(x))
    if scheme.weight.rules.code_cast == "integer":
        assert same_bits(fake, expected(x))
    assert stored(x).dtype is after


@pairs
@schemes
def test_a_converted_linear_that_is_cast_raises(scheme: QuantScheme, before: torch.dtype, after: torch.dtype) -> None:
    x = numbers((3, 16), before, 5)
    layer = quantize_(linear(dtype=before), scheme)
    expected = layer(x)
    layer = layer.to(after)
    if before is after and layer.weight_scale.dtype is expected_scale(scheme, before):
        assert same_bits(layer(x), expected)
        return
    with pytest.raises(ValueError, match=r"^(the bias|weight_scale) is torch.* a quantized layer cannot be cast"):
        layer(x)


def expected_scale(scheme: QuantScheme, dtype: torch.dtype) -> torch.dtype:
    """The dtype a weight's scale is declared to be stored in."""
    return scheme.weight.resolved(dtype).scale_dtype


@pairs
@schemes
def test_a_converted_embedding_that_is_cast_raises_or_has_not_changed(
    scheme: QuantScheme, before: torch.dtype, after: torch.dtype
) -> None:
    indices = torch.tensor([[0, 4], [2, 2]])
    table = quantize_(embedding(before), scheme)
    expected, stored = table(indices), {name: buffer.dtype for name, buffer in table.named_buffers()}
    table = table.to(after)
    if stored == {name: buffer.dtype for name, buffer in table.named_buffers()}:
        assert same_bits(table(indices), expected)
        return
    with pytest.raises(ValueError, match=r"^weight_\w+ is torch\.\w+ and the scheme stores torch\.\w+: a quantized"):
        table(indices)


@pytest.mark.parametrize("cast", [torch.bfloat16, torch.float16], ids=str)
@pytest.mark.parametrize("dtype", FLOATS, ids=str)
@schemes
def test_autocast_moves_no_bit(scheme: QuantScheme, dtype: torch.dtype, cast: torch.dtype) -> None:
    """Operands, product and gradients are in the dtypes that the scheme declares, whatever the context would choose."""
    x = numbers((3, 16), dtype, 5)
    for product in (scheme.product, replace(scheme.product, accumulate=type(scheme.product.accumulate)("native"))):
        given = replace(scheme, product=product)
        outside, inside = prepare(linear(dtype=dtype), given), prepare(linear(dtype=dtype), given)
        expected = outside(x)
        expected.sum().backward()
        with torch.autocast("cpu", dtype=cast):
            output = inside(x)
            assert same_bits(convert(prepare(linear(dtype=dtype), given))(x), expected.detach())
        output.sum().backward()
        assert same_bits(output.detach(), expected.detach())
        assert same_bits(inside.weight.grad, outside.weight.grad)


def test_an_input_that_autocast_has_cut_is_refused() -> None:
    model = nn.Sequential(nn.Linear(16, 16), linear())
    prepare(model, presets.intx_weight_only(), lambda module, name: name == "1")
    with (
        torch.autocast("cpu", dtype=torch.bfloat16),
        pytest.raises(ValueError, match=r"^the input is torch.bfloat16 and the layer's weight is torch.float32; cast"),
    ):
        model(numbers((3, 16)))
