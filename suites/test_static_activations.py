"""Static activations: prepare observes, convert freezes, PTQ takes the same batches: three flows, the same bits."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction

import pytest
import torch
from torch import Tensor, nn

from quant import (
    First,
    Learned,
    Mapping,
    MinMax,
    MovingAverage,
    PerTensor,
    PerToken,
    QuantScheme,
    calibrate,
    choose_qparams,
    convert,
    prepare,
    presets,
    quantize_,
)
from quant.linear import QuantizedLinear
from quant.statistic import Statistic
from suites.directed_groups import FLOATS, same_bits
from suites.quant_layers import embedding, linear, numbers
from suites.quant_stages import unlike

STATISTICS = (MinMax(), MovingAverage(), MovingAverage(0.25), First(), Learned())


def static(statistic: Statistic, mapping: Mapping = Mapping.ASYMMETRIC, **changes: object) -> QuantScheme:
    """Four-bit weights, and an activation of one scale."""
    scheme = presets.int8_dynamic_intx_weight(group_size=8, activation_mapping=mapping)
    assert scheme.activation is not None
    changed = {"statistic": statistic, "granularity": PerTensor()} | changes
    return replace(scheme, activation=replace(scheme.activation, **changed))  # type: ignore[arg-type]  # any field


def batches(dtype: torch.dtype) -> list[Tensor]:
    """Three of them, of three shapes, the second the widest."""
    shapes = ((3, 16), (2, 2, 16), (16,))
    return [
        numbers(shape, dtype, seed) * width for seed, (shape, width) in enumerate(zip(shapes, (1, 3, 2), strict=True))
    ]


@pytest.mark.parametrize("mapping", [Mapping.ASYMMETRIC, Mapping.SYMMETRIC])
@pytest.mark.parametrize("statistic", STATISTICS, ids=str)
@pytest.mark.parametrize("dtype", FLOATS, ids=str)
def test_three_flows_are_one_path(dtype: torch.dtype, statistic: Statistic, mapping: Mapping) -> None:
    scheme, seen, x = static(statistic, mapping), batches(dtype), numbers((5, 16), dtype, 9)
    stages = {"ptq": quantize_(linear(dtype=dtype), scheme, batches=seen).stages(x)}
    prepared = calibrate(prepare(linear(dtype=dtype), scheme), seen).eval()
    stages["prepare"] = prepared.stages(x)
    stages["convert"] = convert(prepared).stages(x)
    for flow in ("prepare", "convert"):
        assert unlike(stages[flow].input, stages["ptq"].input) == [], flow
        assert same_bits(stages[flow].output.detach(), stages["ptq"].output), flow
    assert stages["ptq"].input.qparams.scale.shape == (1, 1)


@pytest.mark.parametrize("dtype", FLOATS, ids=str)
def test_the_range_is_that_of_everything_or_of_the_first(dtype: torch.dtype) -> None:
    seen, x = batches(dtype), numbers((5, 16), dtype, 9)
    whole = torch.cat([batch.reshape(-1) for batch in seen])
    for statistic, observed in ((MinMax(), whole), (Learned(), whole), (First(), seen[0])):
        scheme = static(statistic)
        assert scheme.activation is not None
        stages = quantize_(linear(dtype=dtype), scheme, batches=seen).stages(x)
        expected = choose_qparams(observed, scheme.activation)
        assert same_bits(stages.input.qparams.scale.reshape(-1), expected.scale.reshape(-1))
        assert same_bits(stages.input.qparams.zero_point.reshape(-1), expected.zero_point.reshape(-1))


def test_a_moving_average_moves_by_its_constant() -> None:
    """held + c * (seen - held), each of the three operations rounded to fp32, the first range held as it is."""
    scheme, seen = static(MovingAverage(0.25)), batches(torch.float32)
    observed = calibrate(prepare(linear(), scheme), seen).activation_range
    assert same_bits(observed.high, torch.tensor([averaged([float(b.max()) for b in seen], 0.25)]))
    assert same_bits(observed.low, torch.tensor([averaged([float(b.min()) for b in seen], 0.25)]))
    assert int(observed.batches) == 3


def averaged(ends: Sequence[float], constant: float) -> float:
    held = Fraction(ends[0])
    for seen in ends[1:]:
        held = fp32(held + fp32(fp32(Fraction(seen) - held) * Fraction(constant)))
    return float(held)


def fp32(value: Fraction) -> Fraction:
    """Exact for the few bits that are left of float64 here: one rounding to 24 bits."""
    return Fraction(torch.tensor(float(value), dtype=torch.float64).float().item())


def test_training_observes_and_eval_does_not() -> None:
    layer = prepare(linear(), static(MinMax())).train()
    layer(numbers((2, 16)))
    held = layer.activation_range.high.clone()
    layer.eval()
    layer(numbers((2, 16), seed=3) * 100)
    assert same_bits(layer.activation_range.high, held)
    layer.train()
    layer(numbers((2, 16), seed=3) * 100)
    assert (layer.activation_range.high > held).all()


def test_calibration_starts_anew_and_computes_in_float() -> None:
    """The second layer sees what the float first one gives, and an earlier range is forgotten."""
    model = nn.Sequential(linear(), nn.Linear(4, 8), nn.Linear(8, 8))
    seen = batches(torch.float32)
    plain = [copy.deepcopy(model)[:2](batch) for batch in seen]
    prepared = prepare(model, static(MinMax()), lambda module, name: name != "1")
    prepared(seen[0] * 1000)
    prepared[2].eval()
    calibrate(prepared, seen)
    assert [layer.training for layer in prepared] == [True, True, False]
    assert prepared[0].fake_quantization
    expected = torch.cat([batch.detach().reshape(-1) for batch in plain]).max().reshape(1)
    assert same_bits(prepared[2].activation_range.high, expected.clamp(min=0))


def test_batches_may_be_arguments_or_keywords() -> None:
    x = batches(torch.float32)[0]
    scales = [
        quantize_(linear(), static(MinMax()), batches=[batch]).activation_scale
        for batch in (x, (x,), [x], {"input": x})
    ]
    assert all(same_bits(scale, scales[0]) for scale in scales)


def test_nothing_observed_is_an_error() -> None:
    model = nn.Sequential(linear())
    with pytest.raises(ValueError, match=r"^no batch reached 0, whose input is to be observed; give "):
        quantize_(model, static(MinMax()))
    assert type(model[0]) is nn.Linear
    prepared = prepare(linear(), static(MinMax()))
    for use in (convert, lambda layer: layer.eval()(numbers((2, 16)))):
        with pytest.raises(ValueError, match=r"^the activation's statistic is MinMax\(\) and nothing was observed"):
            use(prepared)
    with pytest.raises(ValueError, match=r"^no batch reached the layer, whose input is to be observed; give "):
        calibrate(prepared, [])
    with pytest.raises(ValueError, match=r"^the activation's statistic is learned and its scale has no start; "):
        prepare(linear(), static(Learned()))(numbers((2, 16)))
    with pytest.raises(ValueError, match=r"^no prepared layer's activation is observed or learned"):
        calibrate(prepare(linear(), presets.int8_dynamic_intx_weight(group_size=8)), [])


def test_an_embedding_has_no_activation_to_observe() -> None:
    model = nn.Sequential(embedding(), nn.Linear(16, 4))
    indices = torch.tensor([0, 3])
    quantized = quantize_(copy.deepcopy(model), static(MinMax()), batches=[indices])
    prepared = calibrate(prepare(model, static(MinMax())), [indices]).eval()
    assert same_bits(prepared(indices).detach(), quantized(indices))


def test_a_static_layer_lives_in_its_state_dict() -> None:
    scheme, x = static(MinMax()), numbers((5, 16), seed=9)
    layer = quantize_(linear(), scheme, batches=batches(torch.float32))
    fresh = QuantizedLinear.empty((4, 16), torch.float32, scheme, bias=True)
    assert fresh(x).isnan().all()
    fresh.load_state_dict(layer.state_dict())
    assert {"activation_scale", "activation_zero_point"} <= set(layer.state_dict())
    assert same_bits(fresh(x), layer(x))
    prepared = calibrate(prepare(linear(), scheme), batches(torch.float32))
    again = prepare(linear(seed=5), scheme)
    again.load_state_dict(prepared.state_dict())
    assert same_bits(convert(again)(x), layer(x))


@pytest.mark.parametrize("name", ["activation_scale", "activation_zero_point"])
def test_a_cast_quantized_layer_is_refused(name: str) -> None:
    layer = quantize_(linear(), static(MinMax(), zero_point_dtype=torch.float32), batches=batches(torch.float32))
    layer._buffers[name] = layer._buffers[name].half()
    with pytest.raises(ValueError, match=f"^{name} is torch.float16 and the scheme stores torch.float32"):
        layer(numbers((2, 16)))


def test_a_range_observed_before_a_cast_is_refused_and_calibrated_again() -> None:
    prepared = calibrate(prepare(linear(), static(MinMax())), batches(torch.float32)).bfloat16()
    message = r"^the observed range is torch.bfloat16 and the scheme computes ranges in torch.float32: the model was"
    for use in (convert, lambda layer: layer.eval()(numbers((2, 16), torch.bfloat16))):
        with pytest.raises(ValueError, match=message):
            use(prepared)
    x, seen = numbers((5, 16), torch.bfloat16, 9), batches(torch.bfloat16)
    fresh = quantize_(linear().bfloat16(), static(MinMax()), batches=seen)
    assert same_bits(convert(calibrate(prepared, seen))(x), fresh(x))


def test_statistics_without_a_meaning_are_refused() -> None:
    scheme = static(MinMax())
    assert scheme.activation is not None
    with pytest.raises(ValueError, match=r"^statistic is MinMax\(\) and granularity is PerToken\(\): what is observed"):
        static(MinMax(), granularity=PerToken())
    with pytest.raises(ValueError, match=r"^the activation's statistic is Learned\(\) and its granularity is PerToken"):
        static(Learned(), granularity=PerToken())
    with pytest.raises(ValueError, match=r"^statistic is 'min_max'; it must be a value of one of Own, MinMax, Moving"):
        static("min_max")  # type: ignore[arg-type]  # the point of the test
    with pytest.raises(ValueError, match=r"^the weight's statistic is MinMax\(\): a weight is at hand"):
        replace(scheme, weight=replace(scheme.activation, zero_point_dtype=torch.int8))
    with pytest.raises(ValueError, match=r"^constant is 0.0; a moving average takes one above 0 and at most 1"):
        MovingAverage(0.0)
    detached = scheme.activation.rules.with_values(gradient_mask="all")
    with pytest.raises(ValueError, match=r"^statistic is Learned\(\) and gradient_mask is all: a scale learns from"):
        static(Learned(), rules=detached)
    from_minimum = scheme.activation.rules.with_values(float_code_origin="min")
    with pytest.raises(ValueError, match=r"^statistic is MinMax\(\) and float_code_origin is min: what is stored of"):
        static(MinMax(), rules=from_minimum)
