"""Blame names the first stage that is not as declared, with its values; a lane that is as declared has none."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from parity import oracle
from parity.oracle import Blame
from parity.trace import Stage, Trace
from quant import TensorScheme
from quant.fake import fake_operand
from suites.oracle_cases import DTYPES, directed, lenient, scheme


def lane(x: Tensor, carried_out: TensorScheme, operand: str = "weight") -> Trace:
    found = fake_operand(x, carried_out)
    stages = {
        "scale": found.qparams.scale,
        "zero_point": found.qparams.zero_point,
        "codes": found.codes,
        "dequantized": found.dequantized,
    }
    return Trace(
        Stage(name=f"{operand}.{name}", tensor=tensor, computed=torch.float32)
        for name, tensor in stages.items()
        if tensor is not None
    )


def blamed(trace: Trace, declared: TensorScheme, x: Tensor) -> Blame:
    return oracle.blame(trace, declared, x, operand="weight", fake=True, output_dtype=x.dtype)


def known(name: str, rules: str = "engine") -> TensorScheme:
    found = scheme(name, lenient(rules), torch.float32)
    assert found is not None
    return found


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", ["symmetric4", "asymmetric8", "float4", "none8"])
def test_nobody_is_blamed_for_what_is_declared(name: str, dtype: torch.dtype) -> None:
    for rules in ("engine", "torchao"):
        declared = known(name, rules)
        x = directed(declared, dtype)
        found = blamed(lane(x, declared), declared, x)
        assert found.stage is None
        assert "every element is as declared" in found.sentence


@pytest.mark.parametrize(
    ("field", "value", "stage"),
    [
        ("symmetric_scale", "qmax", "weight.scale"),
        ("scale_rounding", "up", "weight.scale"),
        ("zero_point_rule", "from_max", "weight.zero_point"),
        ("zero_point_rounding", "truncate", "weight.zero_point"),
        ("code_rounding", "half_away", "weight.codes"),
        ("zero_point_add", "before_round", "weight.codes"),
        ("code_division", "reciprocal_multiply", "weight.codes"),
        ("rescale_dtype", "output", "weight.dequantized"),
    ],
)
def test_a_lane_that_follows_another_rule_is_blamed_at_its_stage(field: str, value: str, stage: str) -> None:
    base = known("symmetric4" if field == "symmetric_scale" else "asymmetric8")
    narrow = field in ("scale_rounding", "code_division")
    declared = replace(base, scale_dtype=torch.bfloat16 if narrow else torch.float32)
    x = directed(declared, torch.bfloat16 if field == "rescale_dtype" else torch.float32, finite=True)
    carried_out = replace(declared, rules=declared.rules.with_values(**{field: value}))
    found = blamed(lane(x, carried_out), declared, x)
    assert found.stage == stage
    assert 0 < found.n_different < x.numel()


def test_a_code_is_blamed_with_its_values_and_its_tie() -> None:
    """2.5 is a tie at the scale 1 that 7.5 makes: half even declares 2, half away gives 3."""
    declared = replace(known("symmetric4"), eps=2.0**-20)
    x = torch.zeros(2, 16)
    x[1, 0], x[1, 3] = 7.5, 2.5
    carried_out = replace(declared, rules=declared.rules.with_values(code_rounding="half_away"))
    found = blamed(lane(x, carried_out), declared, x)
    assert (found.stage, found.n_different, found.first_index) == ("weight.codes", 1, (1, 3))
    assert (found.declared, found.found) == ("0x02 = 2", "0x03 = 3")
    assert found.near_tie
    assert found.sentence == (
        "weight.codes[1, 3] is 0x03 = 3, but the rules declare 0x02 = 2; x is 0x1.4000000000000p+1 (float32), "
        "0 ulp of the quotient from a tie; 1 of 32 elements differ"
    )


def test_one_flipped_bit_is_found() -> None:
    declared = known("asymmetric8")
    x = directed(declared, torch.bfloat16, finite=True)
    trace = lane(x, declared)
    for stage in trace:
        moved = stage.tensor.detach().clone()
        moved.view(torch.uint8).view(-1)[0] ^= 1
        tampered = Trace(replace(each, tensor=moved) if each is stage else each for each in trace)
        found = blamed(tampered, declared, x)
        assert (found.stage, found.n_different, found.first_index) == (stage.name, 1, (0, 0))


def test_another_dtype_is_blamed_without_an_element() -> None:
    declared = known("symmetric4")
    x = directed(declared, torch.float32, finite=True)
    found = blamed(lane(x, replace(declared, scale_dtype=torch.bfloat16)), declared, x)
    assert (found.stage, found.first_index) == ("weight.scale", None)
    assert found.sentence == (f"weight.scale is bfloat16 [{len(x)}, 1], but the scheme declares float32 [{len(x)}, 1]")


def test_a_trace_without_the_operand_is_a_sentence() -> None:
    declared = known("symmetric4")
    x = directed(declared, torch.float32)
    with pytest.raises(ValueError, match=r"the trace has no stage of the weight; it has: input\.scale"):
        blamed(lane(x, declared, "input"), declared, x)
