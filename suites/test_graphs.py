"""Exported and compiled graphs give the bits of eager code, under the engine's rules and by either mechanism.

What is promised of torch.compile: under the rule set `engine`, every output and gradient has the bits of eager code.
Under rules that name a promotion or a 16-bit chain (`torchao`) a compiler may fuse roundings away, and nothing is.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import replace
from typing import cast

import pytest
import torch
from torch import Tensor, nn

import parity
from kernels.availability import missing
from kernels.machine import this_machine
from parity.backends.engine import EngineBackend
from parity.backends.graphs import stages_in
from parity.lanes import Flow, parse_lane
from quant import Mechanism, QuantScheme, convert, prepare, presets, quantize_
from quant.burn_rules import BURN_RULE_SETS
from quant.decisions import NanCode
from quant.linear import QuantizedLinear
from quant.rule_sets import RULE_SETS
from suites.directed_groups import same_bits
from suites.quant_layers import SCHEME, embedding, linear, numbers
from suites.quant_stages import unlike

needs_compiler = pytest.mark.skipif(missing("cpu", "compiled") is not None, reason=str(missing("cpu", "compiled")))
SCHEMES = {
    "dynamic": SCHEME,
    "codes": presets.int8_dynamic_intx_weight(group_size=None),
    "float domain": presets.int4_weight_only(group_size=8),
    "stretched": presets.stretched_intx_weight_only(bits=2, group_size=8),
}
INDICES = torch.tensor([[0, 2], [4, 0]])
MADE = ("quantized", *Mechanism)


def made(how: str, scheme: QuantScheme, layer: nn.Module) -> nn.Module:
    model = nn.Sequential(layer)
    return quantize_(model, scheme) if how == "quantized" else prepare(model, scheme, mechanism=how)


def passed(model: nn.Module, x: Tensor) -> list[Tensor]:
    """The output, and the gradients of everything that takes one."""
    model.zero_grad()
    given = x.clone().requires_grad_() if x.is_floating_point() else x
    output = model(given)
    output.square().sum().backward()
    gradients = [given.grad, *[parameter.grad for parameter in model.parameters()]]
    return [output.detach(), *[gradient for gradient in gradients if gradient is not None]]


# --- exported -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", [MADE[0], *[pytest.param(how, marks=pytest.mark.nightly) for how in MADE[1:]]])
@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("dtype", [torch.bfloat16, pytest.param(torch.float32, marks=pytest.mark.nightly)])
def test_an_exported_linear_gives_the_bits_of_eager_code(dtype: torch.dtype, scheme: str, how: str) -> None:
    model, x = made(how, SCHEMES[scheme], linear(dtype=dtype)), numbers((3, 16), dtype, seed=9)
    program = torch.export.export(model, (x,), strict=False)
    other = numbers((3, 16), dtype, seed=21)
    for given in (x, other):
        assert same_bits(program.module()(given), model(given))


@pytest.mark.parametrize("how", MADE)
def test_an_exported_embedding_gives_the_bits_of_eager_code(how: str) -> None:
    model = made(how, SCHEME, embedding())
    assert same_bits(torch.export.export(model, (INDICES,), strict=False).module()(INDICES), model(INDICES))


@pytest.mark.nightly
def test_a_strict_export_gives_the_same_bits() -> None:
    model, x = convert(made(Mechanism.SUBCLASS, SCHEME, linear())), numbers((3, 16), seed=9)
    assert same_bits(torch.export.export(model, (x,), strict=True).module()(x), model(x))


def test_an_exported_program_survives_its_file() -> None:
    model, x = made("quantized", SCHEME, linear()), numbers((3, 16), seed=9)
    file = io.BytesIO()
    torch.export.save(torch.export.export(model, (x,), strict=False), file)
    file.seek(0)
    assert same_bits(torch.export.load(file).module()(x), model(x))


def test_an_integer_sum_is_exported() -> None:
    scheme = presets.int8_dynamic_intx_weight(group_size=None)
    product = scheme.product.with_values(product_operands="codes", accumulate="int32", bias_add="before_output_cast")
    model, x = made("quantized", replace(scheme, product=product), linear()), numbers((3, 16), seed=9)
    program = torch.export.export(model, (x,), strict=False)
    assert "quant_parity.code_product" in str(program)
    assert same_bits(program.module()(x), model(x))


@pytest.mark.parametrize("how", ["quantized", Mechanism.MODULE_SWAP])
def test_one_graph_serves_the_weights_of_every_case(how: str) -> None:
    x, layers = numbers((3, 16), seed=9), [made(how, SCHEME, linear(seed=seed))[0] for seed in (1, 5, 1)]
    stages = [stages_in("exported", layer, x) for layer in layers]
    for layer, found in zip(layers, stages, strict=True):
        assert unlike(found.weight, layer.stages(x).weight) == []
        assert same_bits(found.output, layer.stages(x).output)
    assert "codes" in unlike(stages[0].weight, stages[1].weight)
    assert unlike(stages[0].weight, stages[2].weight) == []


def test_a_graph_refuses_a_nan_as_eager_code_does() -> None:
    """Burn's rules, whose refusal is an operator of the graph that is saved with it."""
    scheme = presets.int8_dynamic_intx_weight(group_size=8, rules="burn_head_ndarray")
    model, x = made("quantized", scheme, linear()), numbers((3, 16), seed=9)
    program = torch.export.export(model, (x,), strict=False)
    file = io.BytesIO()
    torch.export.save(program, file)
    file.seek(0)
    missing = x.clone()
    missing[1, 2] = torch.nan
    for run in (model, program.module(), torch.export.load(file).module()):
        assert same_bits(run(x), model(x))
        # A program that raises leaves gradients switched off; no_grad puts back what was.
        with torch.no_grad(), pytest.raises(ValueError, match="16 of 48 values to quantize are NaN; nan_code is raise"):
            run(missing)


@pytest.mark.nightly
@pytest.mark.parametrize(
    ("rules", "preset"),
    [
        *[(rules, presets.int4_weight_only) for rules in RULE_SETS],
        *[(rules, presets.burn_3042) for rules in BURN_RULE_SETS],
        # what tinygemm fuses on CPU is a float zero point
        *[(rules, presets.int8_dynamic_intx_weight) for rules in RULE_SETS if not rules.startswith("tinygemm_cpu")],
    ],
)
def test_an_exported_lane_keeps_the_bits_of_every_rule_set(rules: str, preset: Callable[..., QuantScheme]) -> None:
    own = "engine" if rules == "engine" else f"engine.{rules}"
    inputs = "random" if RULE_SETS[rules].nan_code is NanCode.RAISE else "directed"  # which hold NaN
    for flow in Flow:
        record = parity.compare(
            f"{own}:{flow}", f"{own}:{flow}:cpu:exported", preset(rules=rules), dtype=torch.bfloat16, inputs=inputs
        )
        assert record.verdict == "identical"


def test_a_graph_that_computes_otherwise_is_caught_at_its_stage(monkeypatch: pytest.MonkeyPatch) -> None:
    eager = QuantizedLinear.stages

    def other(self: QuantizedLinear, x: Tensor) -> object:
        return eager(self, x * 2 if torch.compiler.is_compiling() else x)

    monkeypatch.setattr(QuantizedLinear, "stages", other)
    record = parity.compare("engine:ptq", "engine:ptq:cpu:exported", presets.int8_dynamic_intx_weight(bits=3))
    assert (record.verdict, record.first_stage) == ("diverged", "input.scale")


# --- compiled -----------------------------------------------------------------------------------------------------


@pytest.mark.filterwarnings("ignore:.*should not be instantiated:DeprecationWarning")  # how torch traces a Function
@pytest.mark.parametrize("how", [pytest.param(Mechanism.MODULE_SWAP, marks=pytest.mark.nightly), Mechanism.SUBCLASS])
def test_a_traced_training_step_gives_the_bits_of_eager_code(how: str) -> None:
    """Forward and backward as torch.compile traces them, run operator by operator: what a compiler is given."""
    model, x = made(how, SCHEME, linear()), numbers((3, 16), seed=9)
    expected = passed(model, x)
    found = passed(cast(nn.Module, torch.compile(model, backend="aot_eager", fullgraph=True)), x)
    assert [i for i, (one, two) in enumerate(zip(found, expected, strict=True)) if not same_bits(one, two)] == []


@pytest.mark.nightly
@pytest.mark.filterwarnings("ignore")  # the compiler's own, about its own use of torch
@needs_compiler
@pytest.mark.parametrize("how", Mechanism)
@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_a_compiled_training_step_gives_the_bits_of_eager_code(dtype: torch.dtype, scheme: str, how: str) -> None:
    for layer, x in ((linear(dtype=dtype), numbers((3, 16), dtype, seed=9)), (embedding(dtype), INDICES)):
        model = made(how, SCHEMES[scheme], layer)
        expected = passed(model, x)
        compiled = torch.compile(model, fullgraph=True)
        found = passed(cast(nn.Module, compiled), x)
        assert [i for i, (one, two) in enumerate(zip(found, expected, strict=True)) if not same_bits(one, two)] == []


@pytest.mark.nightly
@pytest.mark.filterwarnings("ignore")  # the compiler's own, about its own use of torch
@needs_compiler
@pytest.mark.parametrize("flow", Flow)
@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_a_compiled_lane_gives_the_bits_of_eager_code(dtype: torch.dtype, scheme: str, flow: Flow) -> None:
    lanes = (f"engine:{flow}", f"engine:{flow}:cpu:compiled")
    assert parity.compare(*lanes, SCHEMES[scheme], dtype=dtype).verdict == "identical"


def test_without_a_compiler_the_lane_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kernels.availability.this_machine", lambda: replace(this_machine(), compiler=None))
    said = EngineBackend().unrun(parse_lane("engine:ptq:cpu:compiled"))
    assert said == "no C++ compiler, which torch.compile needs on cpu"
    assert EngineBackend().unrun(parse_lane("engine:ptq:cpu:exported")) is None
