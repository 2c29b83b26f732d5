"""int4 weights with a float zero point: torchao trains with them as the rule set `torchao` says, bit for bit."""

from __future__ import annotations

import warnings
from dataclasses import replace
from itertools import product
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from parity.backends.engine import EngineBackend
from parity.backends.protocol import NotExpressible
from parity.backends.torchao import TorchaoBackend
from parity.backends.torchao_package import unusable
from parity.diff import diff_stage, diff_traces
from parity.lanes import Flow, Lane
from quant import QuantScheme, presets
from suites.aimed_layers import INDICES, layer_for, tokens_for

DTYPES = (torch.float32, torch.bfloat16, torch.float16)
SCALES = ("model", *DTYPES)
# In CI the narrowest, the usual and the widest; the nightly suites run the others too.
BITS = [bits if bits in (1, 4, 8) else pytest.param(bits, marks=pytest.mark.nightly) for bits in range(1, 9)]
needs_torchao = pytest.mark.skipif(unusable() is not None, reason=unusable() or "")
PREPARE = Lane(backend="torchao", flow=Flow.QAT_PREPARE)


def tinygemm(scale: torch.dtype | str = "model", *, bits: int = 4, group_size: int | None = 32) -> QuantScheme:
    """Codes 0 .. 2**bits - 1, scale and zero point of one dtype."""
    scheme = presets.int4_weight_only(group_size=group_size, scale_dtype=scale, zero_point_dtype=scale, rules="torchao")
    return replace(scheme, weight=replace(scheme.weight, bits=bits, qmax=2**bits - 1))


def parted(scheme: QuantScheme, layer: nn.Module, x: Tensor, steps: int = 0) -> list[str]:
    """Every stage in which torchao's prepare and the engine's under the rule set differ."""
    theirs = TorchaoBackend().trace(PREPARE, layer, x, scheme, steps)
    own = EngineBackend().trace(Lane(backend="engine", flow=Flow.QAT_PREPARE), layer, x, scheme, steps)
    assert theirs.names == own.names
    assert [stage.computed for stage in theirs] == [stage.computed for stage in own]
    return [diff.stage for diff in diff_traces(theirs, own) if not diff.identical]


@needs_torchao
@pytest.mark.parametrize("bits", BITS)
@pytest.mark.parametrize("kind", ["linear", "embedding"])
def test_prepare_in_the_float_domain_is_the_rule_set(kind: str, bits: int) -> None:
    for dtype, scale, group_size in product(DTYPES, SCALES, (32, None)):
        scheme = tinygemm(scale, bits=bits, group_size=group_size)
        layer = layer_for(scheme, dtype, embedding=kind == "embedding")
        x = INDICES if kind == "embedding" else tokens_for(scheme, dtype)
        assert parted(scheme, layer, x) == [], f"{dtype}, group {group_size}, scale {scale}"


@needs_torchao
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_training_moves_the_weights_alike(dtype: torch.dtype) -> None:
    scheme = tinygemm()
    layer, x = layer_for(scheme, dtype, family="random"), tokens_for(scheme, dtype, "random")
    before = layer.weight.detach().clone()
    assert parted(scheme, layer, x, steps=2) == []
    assert torch.equal(layer.weight, before)


@needs_torchao
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_the_legacy_4w_quantizer_prepares_the_same(dtype: torch.dtype) -> None:
    """Int4WeightOnlyQATQuantizer, which knows bf16 scales and layers without a bias."""
    from torchao.quantization.qat.linear import Int4WeightOnlyQATQuantizer

    scheme = tinygemm(torch.bfloat16)
    layer, x = layer_for(scheme, dtype), tokens_for(scheme, dtype)
    layer.bias = None
    own = TorchaoBackend().trace(PREPARE, layer, x, scheme)
    quantizer: Any = Int4WeightOnlyQATQuantizer(groupsize=32, inner_k_tiles=2, precision=dtype)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Deprecation: TorchAODType")
        prepared = quantizer.prepare(nn.Sequential(layer))[0]
    assert type(prepared).__name__ == "Int4WeightOnlyQATLinear"
    with torch.no_grad():
        theirs = {"output": prepared(x), "weight.scale": prepared.weight_fake_quantizer.scale}
        theirs["weight.dequantized"] = prepared.weight_fake_quantizer(prepared.weight)
    for stage, value in theirs.items():
        assert diff_stage(stage, value.reshape(own[stage].tensor.shape), own[stage].tensor).identical, stage


@pytest.mark.parametrize(
    ("flow", "change", "sentence"),
    [
        (Flow.PTQ, {}, "the weight's zero_point_domain is float, but"),
        (Flow.QAT_CONVERT, {}, "the weight's zero_point_domain is float, but"),
        (Flow.QAT_PREPARE, {"preserve_zero": True}, "the weight's preserve_zero is True, but"),
        (Flow.QAT_PREPARE, {"qmin": -8, "qmax": 7}, r"the weight's grid is \[-8, 7\]"),
        (Flow.QAT_PREPARE, {"zero_point_dtype": torch.float16}, "the weight's zero_point_dtype is torch.float16, but"),
    ],
)
def test_what_the_fake_quantizer_cannot_be_told(flow: Flow, change: dict[str, Any], sentence: str) -> None:
    scheme = tinygemm()
    with pytest.raises(NotExpressible, match=f"^{sentence}"):
        TorchaoBackend().trace(
            Lane(backend="torchao", flow=flow),
            nn.Linear(64, 32),
            torch.zeros(2, 64),
            replace(scheme, weight=replace(scheme.weight, **change)),
        )


@pytest.mark.parametrize("rules", ["engine", "torchao"])
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_ours_is_one_computation_in_every_flow(dtype: torch.dtype, rules: str) -> None:
    scheme = presets.int4_weight_only(rules=rules)
    layer, x = layer_for(scheme, dtype, family="random"), tokens_for(scheme, dtype, "random")
    traces = [EngineBackend().trace(Lane(backend="engine", flow=flow), layer, x, scheme) for flow in Flow]
    for other in traces[1:]:
        assert [diff.stage for diff in diff_traces(traces[0], other) if not diff.identical] == []
