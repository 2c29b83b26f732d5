"""Every combination without meaning raises a ValueError that names fields and values, each reason its own sentence."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from quant import (
    EpsOf,
    Mapping,
    choose_qparams,
    presets,
)
from quant.mapping import INTEGER_GRIDS
from quant.scheme import ResolvedScheme
from suites.illegal_layers import ILLEGAL_LAYERS
from suites.illegal_tensors import ENGINE, ILLEGAL_TENSORS, float_domain, scheme

ILLEGAL = ILLEGAL_TENSORS + ILLEGAL_LAYERS


@pytest.mark.parametrize(("sentence", "make"), ILLEGAL, ids=lambda value: value[:60] if isinstance(value, str) else "")
def test_illegal_combination_says_so(sentence: str, make: Callable[[], object]) -> None:
    with pytest.raises(ValueError, match=f"^{sentence}"):
        make()


def test_no_two_reasons_share_a_sentence() -> None:
    said = []
    for _, make in ILLEGAL:
        with pytest.raises(ValueError, match=" ") as raised:
            make()
        said.append(str(raised.value))
    assert len(set(said)) == len(ILLEGAL)


@pytest.mark.parametrize("bits", range(1, 17))
@pytest.mark.parametrize("mapping", INTEGER_GRIDS)
def test_legal_grids_are_accepted(bits: int, mapping: Mapping) -> None:
    half = 2 ** (bits - 1)
    if bits > 1:
        assert scheme(bits=bits, qmin=-half, qmax=half - 1, mapping=mapping).midpoint == 0
        assert scheme(bits=bits, qmin=1 - half, qmax=half - 1, mapping=mapping).midpoint == 0.5
    assert scheme(bits=bits, qmin=0, qmax=2 * half - 1, mapping=mapping).midpoint == half


@pytest.mark.parametrize("preset", ["intx_weight_only", "int8_dynamic_intx_weight", "int8_dynamic_int4_weight"])
@pytest.mark.parametrize("scale_dtype", [torch.float32, torch.bfloat16, torch.float16, torch.float64], ids=str)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16], ids=str)
def test_defaults_of_the_engine_are_legal(preset: str, scale_dtype: torch.dtype, dtype: torch.dtype) -> None:
    """Whatever the scale's dtype, the engine's default eps is positive in every dtype the scale passes through."""
    weight = getattr(presets, preset)(scale_dtype=scale_dtype).weight.resolved(dtype)
    assert isinstance(weight, ResolvedScheme)
    assert weight.eps == max(torch.finfo(scale_dtype).smallest_normal, torch.finfo(torch.float32).smallest_normal)
    assert weight.resolved(dtype) == weight


def test_rules_that_do_not_refuse_lossy_schemes_compute_them() -> None:
    """torchao's own integer zero point in the float domain, and an eps that vanishes in fp16, are computed as told."""
    x = torch.tensor([[0.0, 0.0, 0.0, 0.0]])
    lossy = float_domain(zero_point_dtype=torch.int32, eps=1e-30, scale_dtype=torch.float16)
    qparams = choose_qparams(x, lossy)
    assert qparams.scale.item() == 0.0
    assert isinstance(ENGINE.default_eps, EpsOf)
