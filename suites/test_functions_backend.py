"""Three functions are a backend wherever one is asked for, and what they leave out is the engine's."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

import parity
from parity.backends.names import BUILT_IN
from parity.verdicts import Verdict
from quant import presets
from quant.scheme import ResolvedScheme

WEIGHT_ONLY = presets.intx_weight_only(bits=4, group_size=32)


def truncating(x: Tensor, scale: Tensor, zero_point: Tensor | None, scheme: ResolvedScheme) -> Tensor:
    """int4 codes of groups along the rows, cut instead of rounded."""
    quotient = x.float().unflatten(-1, (scale.shape[-1], -1)) / scale.float().unsqueeze(-1)
    return quotient.trunc().clamp(scheme.qmin, scheme.qmax).to(torch.int8).flatten(-2)


@pytest.mark.parametrize("preset", ["int8_dynamic_int4_weight", "int4_weight_only", "intx_weight_only"])
def test_functions_left_out_are_the_engines(preset: str) -> None:
    scheme = getattr(presets, preset)()
    nothing_given = parity.backend_from_functions("nothing_given")
    assert parity.compare("engine:ptq", nothing_given, scheme).verdict is Verdict.IDENTICAL


def test_rules_that_read_more_than_the_qparams_choose_them_anew() -> None:
    scheme = presets.int4_weight_only()
    rules = scheme.weight.rules.with_values(float_code_origin="min", code_scale="unrounded")
    changed = replace(scheme, weight=replace(scheme.weight, scale_dtype=torch.bfloat16, rules=rules))
    assert parity.compare("engine:ptq", parity.backend_from_functions("anew"), changed).verdict is Verdict.IDENTICAL


def test_a_function_of_ones_own_is_compared_and_explained() -> None:
    theirs = parity.backend_from_functions("truncating", quantize=truncating)
    record = parity.compare("engine:ptq", theirs, WEIGHT_ONLY, dtype=torch.float32)
    assert record.first_stage == "weight.codes"
    assert parity.explain(record).causes == (("code_rounding", "half_even", "truncate"),)


def test_a_lane_of_functions_has_a_text() -> None:
    """Once it was handed over, its name means it wherever a lane's text is read: here in an edge of a cell."""
    parity.lane(parity.backend_from_functions("truncating", quantize=truncating))
    found = parity.explain("preset:intx_weight_only,group:32", "engine:ptq~truncating:ptq")
    assert found.sentence == "weight.codes first; explained by code_rounding: half_even against truncate"


@pytest.mark.parametrize("name", ["", "My Functions", *BUILT_IN])
def test_a_name_that_is_none_or_anothers_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match=r"names are made of a-z, 0-9 and _|is announced already"):
        parity.lane(parity.backend_from_functions(name))


@pytest.mark.parametrize(
    ("functions", "sentence"),
    [
        (
            {"quantize": lambda x, s, z, scheme: truncating(x, s, z, scheme)[0]},
            "weight.codes of the shape (64,); it must be (32, 64)",
        ),
        (
            {"choose_qparams": lambda x, scheme: (torch.ones(()), None)},
            "weight.scale of the shape (); it must be (32, 2)",
        ),
    ],
    ids=["codes", "scale"],
)
def test_a_shape_that_is_none_of_the_schemes_is_told(functions: dict[str, Callable[..., Any]], sentence: str) -> None:
    wrong = parity.backend_from_functions("wrong", **functions)
    record = parity.compare("engine:ptq", wrong, WEIGHT_ONLY)
    assert record.verdict is Verdict.DIVERGED
    assert sentence in record.message
