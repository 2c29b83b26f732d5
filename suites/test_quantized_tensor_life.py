"""QuantizedTensor as a value: what it refuses, how it is kept and copied, and scales that follow their codes."""

from __future__ import annotations

import copy
import io
from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from quant import PerGroup, PerTensor, Propagation, QuantizedTensor, QuantScheme, choose_qparams, presets
from quant.mapping import Extent
from quant.quantized_tensor import BURN_3042, BURN_HEAD, ENGINE, Contract
from quant.statistic import Learned, MinMax
from suites.directed_groups import same_bits
from suites.quant_layers import layer_scheme, numbers

BLOCKS = torch.tensor([[1.0, 2, 3, 4], [10, 20, 30, 40]])


def made(x: Tensor, scheme: QuantScheme | None = None, contract: Contract = ENGINE) -> QuantizedTensor:
    return QuantizedTensor.from_float(x, layer_scheme(granularity=PerTensor()) if scheme is None else scheme, contract)


def same(a: QuantizedTensor, b: QuantizedTensor) -> bool:
    equal = all(same_bits(mine, its) for mine, its in zip(a.parts(), b.parts(), strict=True))
    of = ((t.scheme, t.tensor_scheme, t.contract, t.dtype) for t in (a, b))
    return equal and next(of) == next(of)


class Layer(nn.Module):
    def __init__(self, seed: int = 0) -> None:
        super().__init__()
        self.weight = nn.Parameter(made(numbers((4, 16), seed=seed)), requires_grad=False)


def test_flipped_rows_keep_their_scales() -> None:
    """Both rows have the same codes: with the scales left in place, flip would return what it was given."""
    q = made(BLOCKS, layer_scheme(bits=8, qmin=-127, qmax=127, granularity=PerGroup(4)))
    assert same_bits(q.quantized.codes[0], q.quantized.codes[1])
    assert same_bits(q.flip(0).dequantize(), q.dequantize().flip(0))


def test_the_greatest_is_that_of_values_not_of_codes() -> None:
    q = made(BLOCKS, layer_scheme(bits=8, qmin=-127, qmax=127, granularity=PerGroup(4)))
    assert q.argmax(0).tolist() == [1, 1, 1, 1]
    assert q.quantized.codes.argmax(0).tolist() == [0, 0, 0, 0]
    assert same_bits(q.max(0).values.dequantize(), made(q.dequantize()[1], q.scheme).dequantize())


def test_a_float_tensor_is_written_to_from_what_it_stands_for() -> None:
    q, x = made(numbers((4, 16))), numbers((4, 16), seed=1)
    expected = x + q.dequantize()
    assert same_bits(x.add_(q), expected)
    assert same_bits(x.copy_(q), q.dequantize())


def test_codes_have_no_gradient() -> None:
    q = made(numbers((4, 16)).requires_grad_())
    assert not q.requires_grad
    with pytest.raises(ValueError, match="codes have no gradient"):
        q.requires_grad_()
    with pytest.raises(ValueError, match="codes have no gradient"):
        nn.Parameter(q)


def test_a_tensor_by_its_keyword_is_the_same_tensor() -> None:
    q = made(numbers((4, 16)))
    turned = torch.transpose(input=q, dim0=0, dim1=1)
    assert isinstance(turned, QuantizedTensor)
    assert same(turned, q.t())  # type: ignore[arg-type]  # the subclass keeps itself


def test_no_elements_have_no_scale() -> None:
    with pytest.raises(ValueError, match="holds no elements"):
        made(numbers((4, 16)))[:0]


def test_codes_are_not_read_as_another_dtype() -> None:
    with pytest.raises(ValueError, match="would read codes as numbers of another dtype"):
        made(numbers((4, 16))).view(torch.int32)


@pytest.mark.parametrize("name", ["add", "sub", "mul", "div", "pow"])
def test_a_quantized_and_a_float_tensor_meet_in_values_or_not_at_all(name: str) -> None:
    x, propagating = numbers((4, 16), seed=1), layer_scheme(granularity=PerTensor())
    propagating = replace(propagating, propagation=Propagation.PROPAGATE)
    for contract in (ENGINE, BURN_HEAD):
        q = made(numbers((4, 16)), propagating, contract)
        for result, expected in (
            (getattr(q, name)(x), getattr(q.dequantize(), name)(x)),
            (getattr(x, name)(q), getattr(x, name)(q.dequantize())),
        ):
            assert type(result) is Tensor
            assert same_bits(result, expected)
    old = made(numbers((4, 16)), propagating, BURN_3042)
    for operands in ((old, x), (x, old)):
        with pytest.raises(ValueError, match=rf"{name} was given a quantized and a float tensor"):
            getattr(torch, name)(*operands)


def test_cat_follows_its_first_tensor() -> None:
    x = numbers((4, 16), seed=1)
    for contract in (ENGINE, BURN_3042):
        q = made(numbers((4, 16)), contract=contract)
        first_float = torch.cat([x, q])
        assert type(first_float) is Tensor
        assert same_bits(first_float, torch.cat([x, q.dequantize()]))
    assert type(torch.cat([made(x), x])) is QuantizedTensor
    with pytest.raises(ValueError, match="cat was given a quantized and a float tensor"):
        torch.cat([q, x])


def test_operands_follow_one_contract() -> None:
    with pytest.raises(ValueError, match="the contracts engine and burn_head; one operation follows one"):
        made(numbers((4, 16))) + made(numbers((4, 16)), contract=BURN_HEAD)


def test_what_burn_quantizes_anew_has_the_range_of_its_extremes() -> None:
    of_means = layer_scheme(granularity=PerTensor(), extent=Extent.ABS_MEAN)
    x = numbers((4, 16))
    for contract, extent in ((ENGINE, Extent.ABS_MEAN), (BURN_HEAD, Extent.MIN_MAX)):
        q = made(x, of_means, contract)
        again = q.abs()
        assert isinstance(again, QuantizedTensor)
        expected = choose_qparams(q.dequantize().abs(), replace(of_means.weight, extent=extent))
        assert same_bits(again.quantized.qparams.scale, expected.scale)


def test_the_scheme_is_that_of_the_qparams() -> None:
    q = made(numbers((4, 16)))
    with pytest.raises(ValueError, match="give the scheme that the qparams were chosen by"):
        QuantizedTensor(q.quantized, layer_scheme(bits=2, qmin=-2, qmax=1), torch.float32)
    observed = replace(q.scheme.weight, statistic=MinMax())
    for of in (observed, replace(observed, statistic=Learned())):
        with pytest.raises(ValueError, match="statistic is"):
            QuantizedTensor.from_float(numbers((4, 16)), of)


def test_a_tensor_scheme_alone_means_exact_products_and_float_results() -> None:
    weight = layer_scheme(granularity=PerTensor()).weight
    q = QuantizedTensor.from_float(numbers((4, 16)), weight)
    assert q.scheme == QuantScheme(weight=weight, product=presets.intx_weight_only().product)
    assert q.scheme.propagation is Propagation.INHIBIT


@pytest.mark.parametrize("preset", ["int4_weight_only", "int8_dynamic_intx_weight"])
def test_state_dicts_copies_and_pickles_keep_every_bit(preset: str) -> None:
    """Also with a float zero point, and with a scale kept beside its rounding."""
    layer = Layer()
    layer.weight = nn.Parameter(made(numbers((4, 32)), getattr(presets, preset)(group_size=32)), requires_grad=False)
    assert isinstance(layer.weight, QuantizedTensor)
    copied = copy.deepcopy(layer)
    assert isinstance(copied.weight, nn.Parameter)
    assert same(copied.weight, layer.weight)  # type: ignore[arg-type]  # a Parameter keeps its class
    assert isinstance(copied.weight, QuantizedTensor)
    assert copied.weight.quantized.codes.data_ptr() != layer.weight.quantized.codes.data_ptr()
    file = io.BytesIO()
    torch.save(layer.state_dict(), file)
    file.seek(0)
    assert same(torch.load(file, weights_only=False)["weight"], layer.weight)
    names, meta = layer.weight.__tensor_flatten__()
    inner = {name: getattr(layer.weight, name) for name in names}
    assert same(QuantizedTensor.__tensor_unflatten__(inner, meta, layer.weight.shape, ()), layer.weight)


def test_a_state_dict_is_loaded_into_a_tensor_of_its_scheme() -> None:
    source, target = Layer(), Layer(seed=1)
    assert not same(target.weight, source.weight)  # type: ignore[arg-type]  # a Parameter keeps its class
    target.load_state_dict(source.state_dict())
    assert same(target.weight, source.weight)  # type: ignore[arg-type]  # the same
    with pytest.raises(RuntimeError, match="copy_ writes the codes of another QuantizedTensor"):
        target.load_state_dict({"weight": numbers((4, 16))})


def test_a_cast_of_the_model_is_refused() -> None:
    layer = Layer()
    with pytest.raises(ValueError, match="would write into quantized storage"):
        layer.to(torch.bfloat16)
    assert same(layer.to("cpu").weight, Layer().weight)  # type: ignore[arg-type]  # a Parameter keeps its class


def test_it_says_what_it_is() -> None:
    q = made(BLOCKS)
    assert repr(q) == f"QuantizedTensor({q.dequantize()!r}, bits=4, PerTensor(), inhibit, contract=engine)"
    assert (q.shape, q.dtype, q.dim(), len(q), q.is_floating_point()) == ((2, 4), torch.float32, 2, 2, True)
    assert same_bits(q.dequantize(torch.bfloat16), q.dequantize().bfloat16())
    assert q.tolist() == q.dequantize().tolist()
    with pytest.raises(AttributeError, match="a QuantizedTensor has no codebook"):
        q.codebook  # noqa: B018  # the reading is the test
