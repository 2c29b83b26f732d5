"""The script beside an explanation runs on torch alone and shows both lanes' bits."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch

import parity
from parity.explanation import Explanation
from parity.history.black_box import CarriedOut
from parity.torch_lines import lines
from quant import Mapping, TensorScheme, presets
from quant.rule_sets import ENGINE
from suites.meta.defects import weight_rules
from suites.test_explain import ENGINE_4_BIT, explained, layer
from suites.test_shrink import plant

# Imported as nothing, the engine and the harness cannot help.
_ALONE = """\
import runpy, sys
for name in ("kernels", "quant", "parity", "reports"):
    sys.modules[name] = None
for path in sys.argv[1:]:
    runpy.run_path(path)
"""
_ASYMMETRIC = replace(ENGINE_4_BIT.weight, mapping=Mapping.ASYMMETRIC)

# (stage, rules of the other lane, dtype of the model)
FLIPS = (
    ("codes", {"code_division": "reciprocal_multiply"}, torch.float32),
    ("codes", {"code_division": "reciprocal_multiply", "code_rounding": "half_away"}, torch.bfloat16),
    ("codes", {"code_rounding": "half_up"}, torch.float32),
    ("codes", {"code_rounding": "truncate"}, torch.float16),
    ("codes", {"zero_point_add": "before_round"}, torch.float32),
    ("scale", {"symmetric_scale": "qmax"}, torch.float32),
    ("scale", {"scalar_division": "reciprocal_multiply"}, torch.float32),
    ("dequantized", {"rescale_dtype": "output"}, torch.bfloat16),
    ("dequantized", {"operand_dtype": "float32"}, torch.bfloat16),
    ("zero_point", {"zero_point_rule": "from_max"}, torch.float32),
    ("zero_point", {"zero_point_rule": "from_value"}, torch.float32),
)
# The same in the FLOAT domain.
VALUES = (
    ("zero_point", {"float_zero_point": "min"}, torch.float32),
    ("codes", {"float_code_division": "reciprocal_multiply"}, torch.float32),
    ("dequantized", {"float_rescale_dtype": "promoted"}, torch.float32),
    ("dequantized", {"rescale_intermediate": "output"}, torch.bfloat16),
)
# Decisions of the product, in the dtype of the model.
PRODUCTS = (
    ({"bias_add": "after_output_cast"}, torch.bfloat16),
    ({"product_output": "via_float16"}, torch.bfloat16),
    ({"accumulate": "float32_sequential"}, torch.float32),
    ({"accumulate": "float16_sequential"}, torch.float16),
)
# (cell, a decision of the weight's gradient)
GRADIENTS = (
    ("bits:2,grad:yes", {"gradient_mask": "none"}),
    ("bits:2,grad:yes", {"gradient_mask": "unrounded"}),
    ("dtype:bf16,grad:yes", {"gradient_product": "scale_over_scale"}),
    ("preset:int4_weight_only,dtype:bf16,grad:yes", {"float_gradient_product": "scale_over_scale"}),
)


def test_scripts_of_flipped_decisions_show_the_divergence_without_the_engine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = [_written(found, tmp_path) for found in (*_operands(), *_products(), *_gradients(monkeypatch))]
    for printed in _shown(paths, each=2):
        (a, *told), (b, *other) = (line.split() for line in printed)
        assert a != b
        assert told != other


def _operands() -> Iterator[Explanation]:
    """Of every stage of a weight, as it is reached first."""
    in_values = presets.int4_weight_only(group_size=32).weight
    for domain, flips in ((_ASYMMETRIC, FLIPS), (in_values, VALUES)):
        for stage, values, dtype in flips:
            base = ENGINE_4_BIT.weight if "symmetric_scale" in values else domain
            found = explained(CarriedOut(scheme=layer(_with(base, values))), layer(base), dtype)
            assert found.first_stage == f"weight.{stage}", found.sentence
            yield found


def _products() -> Iterator[Explanation]:
    for values, dtype in PRODUCTS:
        theirs = replace(ENGINE_4_BIT, product=ENGINE_4_BIT.product.with_values(**values))
        found = explained(CarriedOut(scheme=theirs), dtype=dtype)
        assert found.first_stage == "output", found.sentence
        yield found


def _gradients(monkeypatch: pytest.MonkeyPatch) -> Iterator[Explanation]:
    """Of the other mechanism, made to pass another gradient."""
    for cell, values in GRADIENTS:
        with monkeypatch.context() as patched:
            plant(patched, "trace", weight_rules(**values))
            found = parity.explain(cell, "engine:qat_prepare~engine_subclass:qat_prepare")
        assert found.first_stage == "grad.weight", found.sentence
        yield found


def _written(found: Explanation, directory: Path) -> Path:
    assert found.script is not None, found.sentence
    path = directory / f"{len(list(directory.iterdir()))}.py"
    path.write_text(found.script)
    return path


@pytest.mark.nightly
def test_two_fields_of_torchao_in_bf16_are_shown(tmp_path: Path) -> None:
    found = parity.explain("dtype:bf16", "engine:ptq~engine.torchao:ptq")
    assert found.script is not None
    path = tmp_path / "scale.py"
    path.write_text(found.script)
    [(a, b)] = _shown([path], each=2)
    assert a.startswith("engine:ptq 0x")
    assert a.endswith("torch.float32")
    assert b.endswith("torch.bfloat16")


def test_no_script_is_given_that_does_not_give_both_lanes_bits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor one for a fused multiply-add, which is no statement of torch."""
    monkeypatch.setattr("parity.stand_alone.lines", lambda *arguments: ("result = x",))
    scheme = _with(_ASYMMETRIC, {"code_rounding": "truncate"})
    found = explained(CarriedOut(scheme=layer(scheme)), layer(_ASYMMETRIC))
    assert found.causes
    assert found.script is None
    fused = _with(_ASYMMETRIC, {"zero_point_add": "before_round_fma", "code_division": "reciprocal_multiply"})
    with pytest.raises(ValueError, match="more than a few statements"):
        lines("codes", fused.resolved(torch.float32), torch.float32)


def _with(scheme: TensorScheme, values: dict[str, str]) -> TensorScheme:
    return replace(scheme, rules=ENGINE.with_values(**values))


def _shown(paths: list[Path], *, each: int) -> list[list[str]]:
    """What each script prints."""
    command = [sys.executable, "-I", "-c", _ALONE, *map(str, paths)]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert ran.returncode == 0, ran.stderr
    printed = ran.stdout.splitlines()
    assert len(printed) == each * len(paths)
    return [printed[i : i + each] for i in range(0, len(printed), each)]
