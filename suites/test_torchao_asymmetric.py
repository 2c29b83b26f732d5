"""Asymmetric weights in QAT: torchao's way is a named rule set, ours makes prepare, convert and PTQ one computation."""

from __future__ import annotations

from dataclasses import replace
from itertools import product

import pytest
import torch
from torch import nn

import parity
from parity.backends.engine import EngineBackend
from parity.backends.torchao import TorchaoBackend
from parity.backends.torchao_package import unusable
from parity.diff import diff_traces
from parity.lanes import Flow, Lane
from quant import Mapping, QuantScheme, choose_qparams, fake_quantize, presets, rules_named
from suites.aimed_layers import INDICES, layer_for, tokens_for

DTYPES = (torch.float32, torch.bfloat16, torch.float16)
GROUP = 32
# In CI the narrowest, the usual and the widest; the nightly suites run the others too.
BITS = [bits if bits in (1, 4, 8) else pytest.param(bits, marks=pytest.mark.nightly) for bits in range(1, 9)]
needs_torchao = pytest.mark.skipif(unusable() is not None, reason=unusable() or "")


def asked(bits: int, scale: torch.dtype | str = "model", *, dynamic: bool = False) -> QuantScheme:
    """What a user asks for: asymmetric weights whose range holds zero, with integer zero points."""
    preset = presets.int8_dynamic_intx_weight if dynamic else presets.intx_weight_only
    return preset(bits=bits, group_size=GROUP, mapping=Mapping.ASYMMETRIC, scale_dtype=scale, rules="torchao")


def trained_by_torchao(scheme: QuantScheme) -> QuantScheme:
    """What torchao's fake quantizer makes of it: the range is not widened, a value is taken for a code."""
    rules, _ = rules_named("torchao_asymmetric_qat")
    return replace(scheme, weight=replace(scheme.weight, preserve_zero=False, rules=rules))


@needs_torchao
@pytest.mark.parametrize("bits", BITS)
@pytest.mark.parametrize("kind", ["weight_only", "dynamic", "embedding"])
def test_the_rule_set_is_what_torchao_trains_through(kind: str, bits: int) -> None:
    for dtype, scale in product(DTYPES, ("model", *DTYPES)):
        scheme = asked(bits, scale, dynamic=kind == "dynamic")
        layer = layer_for(scheme, dtype, embedding=kind == "embedding")
        x = INDICES if kind == "embedding" else tokens_for(scheme, dtype)
        theirs = TorchaoBackend().trace(Lane(backend="torchao", flow=Flow.QAT_PREPARE), layer, x, scheme)
        lane = Lane(backend="engine", flow=Flow.QAT_PREPARE)
        own = EngineBackend().trace(lane, layer, x, trained_by_torchao(scheme))
        different = [diff.stage for diff in diff_traces(theirs, own) if not diff.identical]
        assert different == [], f"{dtype}, scale {scale}"


@needs_torchao
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_the_difference_is_explained_by_the_range_and_the_zero_point(dtype: torch.dtype) -> None:
    record = parity.compare("engine.torchao:qat_prepare", "torchao:qat_prepare", asked(4), dtype=dtype)
    assert record.first_stage == "weight.scale"
    explanation = parity.explain(record)
    assert explanation.explained == 1.0, explanation.sentence
    assert {("scheme.preserve_zero", "True", "False"), ("zero_point_rule", "from_min", "from_value")} <= {
        *explanation.causes
    }


@pytest.mark.parametrize("bits", BITS)
def test_ours_is_one_computation_in_every_flow(bits: int) -> None:
    for rules, dtype in product(("engine", "torchao"), DTYPES):
        scheme = presets.intx_weight_only(bits=bits, group_size=GROUP, mapping=Mapping.ASYMMETRIC, rules=rules)
        layer, x = layer_for(scheme, dtype), tokens_for(scheme, dtype)
        traces = [EngineBackend().trace(Lane(backend="engine", flow=flow), layer, x, scheme) for flow in Flow]
        for other in traces[1:]:
            assert [diff.stage for diff in diff_traces(traces[0], other) if not diff.identical] == []


def test_a_value_taken_for_a_code_loses_the_offset() -> None:
    """Weights of 3 and 4: the middle of their range is 3.53, which becomes the code 3, far off the true zero point."""
    weight = torch.tensor([[3.0, 4.0]]).repeat(1, GROUP // 2)
    scheme = asked(4).weight
    theirs = trained_by_torchao(asked(4)).weight
    qparams = choose_qparams(weight, theirs)
    assert qparams.zero_point is not None
    assert (qparams.zero_point.item(), round(qparams.scale.item(), 4)) == (3, round(1 / 15, 4))
    assert (fake_quantize(weight, theirs) - weight).abs().max() > 2.5
    assert (fake_quantize(weight, scheme) - weight).abs().max() < 0.15


def test_the_value_is_cut_and_not_clamped() -> None:
    """R_S(min + 8 s) = 91.47 lies far outside [-8, 7]: Z holds it, and every code is the greatest."""
    weight = torch.linspace(90.0, 93.0, GROUP).reshape(1, GROUP)
    scheme = trained_by_torchao(asked(4)).weight
    qparams = choose_qparams(weight, scheme)
    assert qparams.zero_point is not None
    assert qparams.zero_point.item() == 91
    nearest = replace(scheme, rules=scheme.rules.with_values(zero_point_cast="nearest"))
    rounded = choose_qparams(weight, nearest).zero_point
    assert rounded is not None
    assert rounded.item() == 92
    layer = nn.Linear(GROUP, 1, bias=False)
    layer.weight = nn.Parameter(weight)
    trace = EngineBackend().trace(
        Lane(backend="engine", flow=Flow.QAT_PREPARE), layer, torch.ones(1, GROUP), trained_by_torchao(asked(4))
    )
    assert trace["weight.codes"].tensor.unique().tolist() == [7]


def test_a_floating_zero_point_cannot_be_a_code() -> None:
    with pytest.raises(ValueError, match=r"^zero_point_rule is from_value and zero_point_dtype is torch\.float32"):
        replace(trained_by_torchao(asked(4)).weight, zero_point_dtype=torch.float32)
