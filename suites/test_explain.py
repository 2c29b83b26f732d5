"""parity.explain names no cause that does not reproduce every element, and finds those that do."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from typer.testing import CliRunner

import parity
from parity.cli.app import app
from parity.counter import words
from parity.explanation import Explanation
from parity.flips import flipped, flips_of, forward_only
from parity.history.black_box import CarriedOut
from quant import Mapping, PerAxis, ProductRules, QuantScheme, TensorScheme, presets
from quant.rule_sets import ENGINE, ENGINE_PRODUCT
from suites.small_layers import small

ENGINE_4_BIT = presets.intx_weight_only(bits=4, group_size=32)


def layer(weight: TensorScheme) -> QuantScheme:
    """A layer with this scheme on its weight, its activation left float, its product exact."""
    return QuantScheme(weight=weight, product=ENGINE_PRODUCT)


def explained(theirs: CarriedOut, ours: QuantScheme = ENGINE_4_BIT, dtype: torch.dtype = torch.float32) -> Explanation:
    return parity.explain(parity.compare("engine:ptq", theirs, ours, dtype=dtype))


# --- causes -------------------------------------------------------------------------------------------------------


def test_rules_that_differ_in_four_stages_are_four_causes() -> None:
    scheme = presets.int8_dynamic_intx_weight().activation
    assert scheme is not None
    rules = {"zero_point_rule": "from_max", "code_rounding": "half_away", "rescale_dtype": "output"}
    theirs = replace(scheme, eps=2.0**-7, rules=ENGINE.with_values(**rules))
    found = explained(CarriedOut(scheme=layer(theirs)), layer(scheme), torch.bfloat16)
    assert found.first_stage == "weight.scale"
    assert set(found.causes) == {
        ("scheme.eps", "2**-126", "2**-7"),
        ("zero_point_rule", "from_min", "from_max"),
        ("code_rounding", "half_even", "half_away"),
        ("rescale_dtype", "float32", "output"),
    }


def test_a_decision_that_acts_on_both_operands_is_one_cause() -> None:
    scheme = presets.int8_dynamic_intx_weight()
    assert scheme.activation is not None
    rules = ENGINE.with_values(code_rounding="truncate")
    weight, activation = (replace(each, rules=rules) for each in (scheme.weight, scheme.activation))
    found = explained(CarriedOut(scheme=replace(scheme, weight=weight, activation=activation)), scheme)
    assert found.sentence == "input.codes first; explained by code_rounding: half_even against truncate"


@pytest.mark.parametrize("values", [{"bias_add": "after_output_cast"}, {"product_output": "via_float16"}])
def test_a_decision_of_the_product_is_found_at_the_output(values: dict[str, str]) -> None:
    theirs = replace(ENGINE_4_BIT, product=ENGINE_4_BIT.product.with_values(**values))
    found = explained(CarriedOut(scheme=theirs), dtype=torch.bfloat16)
    [(field, value)] = values.items()
    assert found.first_stage == "output"
    assert found.causes == ((field, getattr(ProductRules(), field), value),)


def test_two_decisions_that_show_in_one_stage_are_found_together() -> None:
    rules = ENGINE.with_values(code_rounding="half_away", code_division="reciprocal_multiply")
    theirs = replace(ENGINE_4_BIT.weight, rules=rules)
    found = explained(CarriedOut(scheme=replace(ENGINE_4_BIT, weight=theirs)))
    expected = {
        ("code_division", "divide", "reciprocal_multiply"),
        ("code_rounding", "half_even", "half_away"),
    }
    assert expected in [set(causes) for causes in (found.causes, *found.undetermined)]
    assert found.explained == 1.0


def test_a_dtype_and_a_shape_that_differ_in_one_stage_are_found_together() -> None:
    """Each alone leaves every element of the scale different."""
    theirs = replace(ENGINE_4_BIT.weight, granularity=PerAxis(0), scale_dtype=torch.bfloat16)
    found = explained(CarriedOut(scheme=layer(theirs)))
    assert set(found.causes) == {
        ("scheme.granularity", "PerGroup(size=32)", "PerAxis(axis=0)"),
        ("scheme.scale_dtype", "float32", "bfloat16"),
    }


@pytest.mark.parametrize(
    ("values", "cause"),
    [
        ({"granularity": PerAxis(0)}, ("scheme.granularity", "PerGroup(size=32)", "PerAxis(axis=0)")),
        ({"qmin": -7}, ("scheme.qmin/qmax", "[-8, 7]", "[-7, 7]")),
        ({"eps": 0.0123}, ("scheme.eps", "2**-126", "0.012299999594688416")),
        ({"mapping": Mapping.SYMMETRIC}, ("scheme.mapping", "asymmetric", "symmetric")),
        ({"preserve_zero": False}, ("scheme.preserve_zero", "True", "False")),
    ],
)
def test_values_of_the_scheme_are_causes(values: dict[str, Any], cause: tuple[str, str, str]) -> None:
    """An eps that no dtype has is read off the smallest scale, as that is stored."""
    ours = presets.intx_weight_only(bits=4, group_size=32, mapping=Mapping.ASYMMETRIC)
    found = explained(CarriedOut(scheme=replace(ours, weight=replace(ours.weight, **values))), ours)
    assert found.causes == (cause,)


def test_flips_drawn_at_random_are_among_the_causes() -> None:
    """Every ninth single flip of three schemes: what is named gives the other lane's bits, and the flip is named."""
    for scheme, dtype in (
        (presets.intx_weight_only(bits=4, group_size=32, scale_dtype=torch.bfloat16).weight, torch.bfloat16),
        (presets.int4_weight_only(rules="torchao").weight, torch.bfloat16),
        (presets.int8_dynamic_intx_weight().activation, torch.float16),
    ):
        assert scheme is not None
        base = forward_only(scheme.resolved(dtype))
        for flip in list(flips_of(base, dtype, (32, 64), "dequantized"))[::9]:
            try:
                carried_out = CarriedOut(scheme=layer(flipped(base, [flip])))
            except ValueError:  # it excludes another decision
                continue
            found = explained(carried_out, layer(base), dtype)
            if found.first_stage is not None:
                told = [cause for causes in (found.causes, *found.undetermined) for cause in causes]
                assert (flip.field, flip.value) in [(cause.field, cause.value_b) for cause in told], found.sentence


# --- what no decision explains ------------------------------------------------------------------------------------


def noisy(codes: Tensor) -> Tensor:
    """One code in about a hundred is one step off."""
    return torch.where((words(7, codes.numel()).reshape(codes.shape) >> 8) % 100 == 0, codes ^ 1, codes)


def swapped(x: Tensor) -> Tensor:
    """The first two rows in each other's place."""
    return x[[1, 0, *range(2, len(x))]]


def seven_bits(x: Tensor) -> Tensor:
    """A sum that wraps around at 7 bits."""
    return torch.remainder(x + 64, 128) - 64


@pytest.mark.parametrize(
    "spoiled",
    [
        {"weight.codes": noisy},
        {"weight.scale": swapped, "weight.codes": swapped, "weight.dequantized": swapped},
        {"output": seven_bits},
        {"output": lambda x: x + x.abs().amax() * 2.0**-20},
    ],
    ids=["noise", "rows", "7 bits", "offset"],
)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_what_no_decision_explains_has_no_cause(
    spoiled: dict[str, Callable[[Tensor], Tensor]], dtype: torch.dtype
) -> None:
    found = explained(CarriedOut(scheme=ENGINE_4_BIT, spoiled=spoiled), dtype=dtype)
    assert found.first_stage == next(iter(spoiled))
    assert found.causes == found.undetermined == ()
    assert found.explained < 1
    assert "unexplained" in found.sentence


def test_a_true_cause_beside_noise_is_not_named() -> None:
    """A part that is explained is a share, and no cause."""
    weight = replace(ENGINE_4_BIT.weight, rules=ENGINE.with_values(code_rounding="truncate"))
    theirs = CarriedOut(scheme=replace(ENGINE_4_BIT, weight=weight), spoiled={"weight.codes": noisy})
    found = explained(theirs)
    assert found.causes == ()
    assert 0 < found.explained < 1


# --- what is inherited, who is right ------------------------------------------------------------------------------


def test_what_heals_was_inherited() -> None:
    weight = replace(ENGINE_4_BIT.weight, rules=ENGINE.with_values(code_division="reciprocal_multiply"))
    found = explained(CarriedOut(scheme=replace(ENGINE_4_BIT, weight=weight)))
    assert (found.first_stage, found.inherited) == ("weight.codes", ("weight.dequantized", "output"))


def test_the_oracle_says_which_lane_is_as_declared() -> None:
    weight = replace(ENGINE_4_BIT.weight, rules=ENGINE.with_values(code_rounding="truncate"))
    assert explained(CarriedOut(scheme=replace(ENGINE_4_BIT, weight=weight))).right == "engine:ptq"
    declared_apart = parity.explain("default", "engine:ptq~engine.torchao:ptq")
    assert declared_apart.right is None


def test_equal_lanes_have_nothing_to_explain() -> None:
    found = parity.explain("dtype:bf16", "engine:ptq~engine:qat_convert")
    assert (found.first_stage, found.causes, found.explained) == (None, (), 1.0)
    assert found.sentence == "engine:ptq and engine:qat_convert have equal bits at every stage"


# --- the command --------------------------------------------------------------------------------------------------


def test_command_says_the_sentence() -> None:
    arguments = ["explain", "preset:intx_weight_only,bias:no", "--edge", "engine:ptq~engine.torchao:ptq"]
    done = CliRunner().invoke(app, arguments, prog_name="parity")
    assert done.exit_code == 0, done.stderr
    assert "weight.codes first; explained by code_division: divide against reciprocal_multiply" in done.stdout
    facts = json.loads(CliRunner().invoke(app, [*arguments, "--json"], prog_name="parity").stdout)
    assert ["code_division", "divide", "reciprocal_multiply"] in facts["edges"][0]["causes"]


def test_a_layer_of_a_file_is_explained(tmp_path: Path) -> None:
    """Its own values alone are compared: among the causes that reproduce them all is the one that acts."""
    arguments = ["explain", "dtype:bf16,layer:block.dense", "--edge", "engine:ptq~engine.torchao:ptq"]
    weights = str(small(tmp_path).weights)
    done = CliRunner().invoke(app, [*arguments, "--weights", weights, "--json"], prog_name="parity")
    assert done.exit_code == 0, done.stderr
    [told] = json.loads(done.stdout)["edges"]
    assert told["first_stage"] is not None
    assert told["explained"] == 1.0
    assert told["causes"]


@pytest.mark.parametrize(
    ("cell", "edge", "said"),
    [
        ("dtype:fp8", "engine:ptq~engine:ptq", "axis dtype has no value 'fp8'"),
        ("default", "engine:ptq", "'engine:ptq' is not an edge; write two lanes"),
        ("layer:fc1", "engine:ptq~engine:qat_convert", "is of a layer in a file; name the file with --weights"),
        ("pz:no", "engine:ptq~engine:qat_convert", "is illegal (a symmetric range holds zero)"),
        ("default", "engine:ptq~engine:qat_convert:cpu:triton", "did not run: the triton kernels run on cuda"),
    ],
)
def test_command_refuses_with_a_sentence(cell: str, edge: str, said: str) -> None:
    done = CliRunner().invoke(app, ["explain", cell, "--edge", edge], prog_name="parity")
    assert (done.exit_code, done.stdout) == (2, "")
    assert said in done.stderr
