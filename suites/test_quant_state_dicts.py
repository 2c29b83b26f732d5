"""A quantized layer lives in its state dict: integer codes, qparams, bias, and nothing else."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from quant import Mapping, PerAxis, ZeroPointDomain, quantize_
from quant.embedding import QuantizedEmbedding
from quant.linear import QuantizedLinear
from quant.stored import BUFFERS
from suites.directed_groups import FLOATS, same_bits
from suites.quant_layers import ENGINE, SCHEME, embedding, layer_scheme, linear, numbers

WEIGHTS: dict[str, dict[str, Any]] = {
    "symmetric": {},
    "asymmetric": {"mapping": Mapping.ASYMMETRIC},
    "no_zero_point": {"zero_point_domain": ZeroPointDomain.NONE, "zero_point_dtype": None},
    "float": {
        "mapping": Mapping.ASYMMETRIC,
        "qmin": 0,
        "qmax": 15,
        "preserve_zero": False,
        "zero_point_domain": ZeroPointDomain.FLOAT,
        "zero_point_dtype": "model",
    },
    "unrounded": {
        "scale_dtype": torch.bfloat16,
        "rules": ENGINE.with_values(dequantize_scale="unrounded", qparam_dtype="float64"),
    },
    "unsigned": {"qmin": 0, "qmax": 15, "mapping": Mapping.ASYMMETRIC},
    "wide": {"bits": 12, "qmin": -2048, "qmax": 2047},
    "per_channel": {"granularity": PerAxis(0)},
}


@pytest.mark.parametrize("changes", WEIGHTS.values(), ids=WEIGHTS)
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("dtype", FLOATS, ids=str)
def test_a_linear_lives_in_its_state_dict(changes: dict[str, Any], bias: bool, dtype: torch.dtype) -> None:
    scheme = layer_scheme(**changes)
    layer = quantize_(linear(bias, dtype), scheme)
    fresh = QuantizedLinear.empty((4, 16), dtype, scheme, bias=bias)
    assert fresh.weight_scale.isnan().all()
    state = layer.state_dict()
    assert {n: (v.dtype, v.shape) for n, v in fresh.state_dict().items()} == {
        n: (v.dtype, v.shape) for n, v in state.items()
    }
    assert set(state) <= {*BUFFERS, "bias"}
    assert ("weight_zero_point" in state) == (scheme.weight.zero_point_domain is not ZeroPointDomain.NONE)
    fresh.load_state_dict(state)
    x = numbers((3, 16), dtype, 3)
    assert same_bits(fresh(x), layer(x))


@pytest.mark.parametrize("changes", WEIGHTS.values(), ids=WEIGHTS)
@pytest.mark.parametrize("dtype", FLOATS, ids=str)
def test_an_embedding_lives_in_its_state_dict(changes: dict[str, Any], dtype: torch.dtype) -> None:
    scheme = layer_scheme(**changes)
    layer = quantize_(embedding(dtype), scheme)
    fresh = QuantizedEmbedding.empty((5, 16), dtype, scheme)
    fresh.load_state_dict(layer.state_dict())
    indices = torch.tensor([[0, 4, 4], [1, 2, 3]])
    assert same_bits(fresh(indices), layer(indices))
    assert layer(indices).shape == (2, 3, 16)


def test_what_was_not_loaded_cannot_pass_for_a_weight() -> None:
    fresh = QuantizedLinear.empty((4, 16), torch.float32, SCHEME, bias=True)
    assert fresh(numbers((2, 16))).isnan().all()
