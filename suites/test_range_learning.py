"""Range learning: scale and zero point train, convert stores what was learned, their gradient is the declared sum."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

import pytest
import torch
from torch import Tensor, nn

from quant import (
    Learned,
    Mapping,
    PerTensor,
    QuantScheme,
    TensorScheme,
    calibrate,
    convert,
    prepare,
    presets,
    quantize_,
)
from quant.learned import LearnedQParams
from quant.linear import QuantizedLinear
from suites.directed_groups import FLOATS, same_bits
from suites.quant_layers import embedding, layer_scheme, linear, numbers
from suites.quant_stages import unlike
from suites.rationals import rounded

DOMAINS = {
    "symmetric": {"mapping": Mapping.SYMMETRIC},
    "asymmetric": {"mapping": Mapping.ASYMMETRIC},
    "float": {
        "mapping": Mapping.ASYMMETRIC,
        "qmin": 0,
        "qmax": 15,
        "preserve_zero": False,
        "zero_point_domain": "float",
        "zero_point_dtype": "model",
    },
}
domains = pytest.mark.parametrize("domain", DOMAINS)
dtypes = pytest.mark.parametrize("dtype", FLOATS, ids=str)


def learned(domain: str = "symmetric", **changes: object) -> QuantScheme:
    """Four-bit weights in groups of 8 whose qparams are learned."""
    scheme = layer_scheme()
    values = DOMAINS[domain] | changes
    if "zero_point_domain" in values:
        values["zero_point_domain"] = type(scheme.weight.zero_point_domain)(str(values["zero_point_domain"]))
    return replace(scheme, weight=replace(scheme.weight, statistic=Learned(), **values))  # type: ignore[arg-type]  # any


def own(scheme: QuantScheme) -> QuantScheme:
    """The same scheme without learning."""
    return replace(scheme, weight=replace(scheme.weight, statistic=layer_scheme().weight.statistic))


def train(layer: nn.Module, x: Tensor, rate: float = 0.05, of_range: float = 1e-3) -> list[float]:
    """Losses on the way to an output of ones; `of_range` is the learning rate of scales and zero points."""
    ranges = [value for name, value in layer.named_parameters() if "range" in name]
    others = [value for name, value in layer.named_parameters() if "range" not in name]
    optimizer = torch.optim.SGD([{"params": others}, {"params": ranges, "lr": of_range}], lr=rate)
    losses = []
    for _ in range(20):
        optimizer.zero_grad()
        loss = (layer(x) - 1).pow(2).mean()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses


@domains
@dtypes
def test_untrained_it_is_ptq(domain: str, dtype: torch.dtype) -> None:
    scheme, x = learned(domain), numbers((3, 16), dtype, 5)
    expected = quantize_(linear(dtype=dtype), own(scheme)).stages(x)
    prepared = prepare(linear(dtype=dtype), scheme)
    for stages in (prepared.stages(x), convert(prepared).stages(x), quantize_(linear(dtype=dtype), scheme).stages(x)):
        assert unlike(stages.weight, expected.weight) == []
        assert same_bits(stages.output.detach(), expected.output)


@domains
def test_convert_stores_what_was_learned(domain: str) -> None:
    """Not what the trained weight's own range would give (#3022)."""
    scheme, x = learned(domain), numbers((3, 16), seed=5)
    prepared = prepare(linear(), scheme)
    losses = train(prepared, x)
    assert losses[-1] < losses[0] / 2
    stages = prepared.stages(x)
    layer = convert(prepared)
    assert unlike(stages.weight, layer.stages(x).weight) == []
    assert same_bits(stages.output.detach(), layer(x))
    assert same_bits(layer.weight_scale, prepared.weight_range.scale.detach())
    chosen = QuantizedLinear.from_float(prepared.weight.detach(), prepared.bias, own(scheme))
    assert unlike(chosen.stages(x).weight, stages.weight)[0] == "scale"  # where that bug shows first


def test_a_symmetric_zero_point_is_never_learned() -> None:
    """It stays the middle of the grid (#2739)."""
    prepared = prepare(linear(), learned("symmetric"))
    assert [name for name, _ in prepared.named_parameters()] == ["weight", "bias", "weight_range.scale"]
    train(prepared, numbers((3, 16)))
    assert (convert(prepared).weight_zero_point == 0).all()


def test_an_embedding_learns_its_range() -> None:
    prepared = prepare(embedding(), learned("asymmetric"))
    indices = torch.tensor([0, 3, 3])
    started = prepared.weight_range.scale.detach().clone()
    train(prepared, indices)
    assert not same_bits(prepared.weight_range.scale.detach(), started)
    output = prepared(indices).detach()
    assert same_bits(convert(prepared)(indices), output)


@dtypes
def test_an_activation_learns_its_range(dtype: torch.dtype) -> None:
    scheme = presets.int8_dynamic_intx_weight(group_size=8)
    assert scheme.activation is not None
    scheme = replace(scheme, activation=replace(scheme.activation, statistic=Learned(), granularity=PerTensor()))
    x = numbers((3, 16), dtype, 5)
    prepared = calibrate(prepare(linear(dtype=dtype), scheme), [x])
    parameters = dict(prepared.named_parameters())
    started = {name: value.detach().clone() for name, value in parameters.items()}
    assert {"activation_range.scale", "activation_range.zero_point"} <= set(parameters)
    with torch.no_grad():
        prepared.activation_range.scale.mul_(0.5)  # so that something is clipped
    train(prepared, x, rate=0.05, of_range=1e-6)
    still = [name for name, value in parameters.items() if same_bits(value.detach(), started[name])]
    assert still in ([], ["activation_range.zero_point"])  # one step of it is below the last bit of a zero point
    assert prepared.activation_range.zero_point.grad is not None
    assert (prepared.activation_range.zero_point.grad != 0).all()
    output, layer = prepared(x).detach(), convert(prepared)
    assert same_bits(layer(x), output)
    assert same_bits(layer.activation_scale, prepared.activation_range.scale.detach())


def test_an_optimizer_made_before_calibration_goes_on_working() -> None:
    scheme = presets.int8_dynamic_intx_weight(group_size=8)
    assert scheme.activation is not None
    scheme = replace(scheme, activation=replace(scheme.activation, statistic=Learned(), granularity=PerTensor()))
    prepared = prepare(linear(), scheme)
    optimizer = torch.optim.SGD(prepared.parameters(), lr=0.1)
    x = numbers((3, 16), seed=5)
    calibrate(prepared, [x])
    started = prepared.activation_range.scale.detach().clone()
    prepared(x).sum().backward()
    optimizer.step()
    assert not same_bits(prepared.activation_range.scale.detach(), started)


@domains
@dtypes
@pytest.mark.parametrize("width", [0.5, 1.0], ids=["clipped", "whole"])
def test_gradients_are_the_exact_sums_of_their_terms(domain: str, dtype: torch.dtype, width: float) -> None:
    """Against rationals, step by step: the quotient, its distance from the code, the product with g, the sum."""
    scheme = learned(domain).weight
    weight = numbers((2, 16), dtype, 3)
    source = LearnedQParams.of_weight(scheme, weight)
    with torch.no_grad():
        source.scale.mul_(width)
    grad = numbers((2, 16), dtype, 4)
    source.operand(weight).dequantized.backward(grad)
    qparams = source.qparams(weight)
    for row in range(2):
        for group in range(2):
            at = row, slice(group * 8, group * 8 + 8)
            scale = Fraction(qparams.scale[row, group].item())
            assert qparams.zero_point is not None
            zero = Fraction(qparams.zero_point[row, group].item())
            of_scale, of_zero = expected(weight[at], grad[at], scale, zero, scheme)
            assert source.scale.grad is not None
            assert source.scale.grad[row, group].item() == of_scale
            if source.zero_point is not None:
                assert source.zero_point.grad is not None
                assert source.zero_point.grad[row, group].item() == of_zero


def expected(x: Tensor, grad: Tensor, scale: Fraction, zero: Fraction, scheme: TensorScheme) -> tuple[float, float]:
    """(grad_scale, grad_zero_point) of one group under the engine's rules, which compute in fp32."""
    in_float_domain, middle = scheme.zero_point_domain == "float", Fraction(scheme.midpoint)
    of_scale, of_zero = Fraction(0), Fraction(0)
    for value, g in zip(x.tolist(), map(Fraction, grad.tolist()), strict=True):
        if in_float_domain:
            origin = r(zero - r(scale * middle))
            unrounded = r(r(Fraction(value) - origin) / scale)
            code = Fraction(round(unrounded))
            distance = middle
        else:
            quotient = r(Fraction(value) / scale)
            unrounded, code = r(quotient + zero), round(quotient) + zero
            distance = zero
        inside = scheme.qmin <= code <= scheme.qmax
        clamped = min(max(code, Fraction(scheme.qmin)), Fraction(scheme.qmax))
        of_scale += r(g * r(clamped - (unrounded if inside else distance)))
        of_zero += 0 if inside else (g if in_float_domain else -r(g * scale))
    return rounded(of_scale, torch.float32), rounded(of_zero, torch.float32)


def r(value: Fraction) -> Fraction:
    """One rounding to fp32."""
    return Fraction(rounded(value, torch.float32))


def test_a_scale_that_falls_below_eps_is_stored_as_eps() -> None:
    prepared = prepare(linear(), learned("symmetric"))
    with torch.no_grad():
        prepared.weight_range.scale.fill_(-1.0)
    eps = torch.tensor(prepared.scheme.weight.resolved(torch.float32).eps)
    assert (convert(prepared).weight_scale == eps).all()


def test_a_learned_scale_that_was_cast_is_refused() -> None:
    prepared = prepare(linear(), learned()).bfloat16()
    with pytest.raises(ValueError, match=r"^the learned scale is torch.bfloat16 and the scheme computes scales in"):
        convert(prepared)


def test_learned_layers_save_and_load() -> None:
    prepared, x = prepare(linear(), learned("asymmetric")), numbers((3, 16))
    train(prepared, x)
    other = prepare(linear(seed=7), learned("asymmetric"))
    other.load_state_dict(prepared.state_dict())
    assert same_bits(convert(other)(x), prepared(x).detach())
