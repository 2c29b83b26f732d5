"""relevant(scheme, dtype): what it leaves out never moves a bit, and it leaves something out for a stated reason."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache

import pytest
import torch

from quant import Mapping, Rules, TensorScheme, ZeroPointDomain, presets, rules_named
from quant.computed import computed_dtypes
from quant.granularity import PerGroup
from quant.relevance import IDLE, relevant
from quant.rule_sets import narrow_scales
from quant.rules import enumeration_of
from suites.directed_groups import FLOATS, SIZE, directed
from suites.quant_stages import Stages, differing, stages_of, uneven_gradient

TORCHAO, ENGINE = rules_named("torchao")[0], rules_named("engine")[0]
BASES = {
    "torchao": TORCHAO,
    "engine": replace(ENGINE, refuse_lossy=False),
    "double": TORCHAO.with_values(qparam_dtype="float64", code_dtype="float64", rescale_dtype="float64"),
    "fma": TORCHAO.with_values(zero_point_add="before_round_fma", eps_target="none", gradient_mask="all"),
    "fused": TORCHAO.with_values(rescale_intermediate="keep", rescale_fusion="fma", float_zero_point="min"),
    "value": TORCHAO.with_values(zero_point_rule="from_value"),
    "replaced": TORCHAO.with_values(zero_scale="one", code_clamp="none", float_code_division="reciprocal_multiply"),
}
KINDS = (
    (Mapping.SYMMETRIC, ZeroPointDomain.INT, torch.int32),
    (Mapping.SYMMETRIC, ZeroPointDomain.NONE, None),
    (Mapping.SYMMETRIC_NO_CLIPPING, ZeroPointDomain.INT, torch.int8),
    (Mapping.ASYMMETRIC, ZeroPointDomain.INT, torch.int32),
    (Mapping.ASYMMETRIC, ZeroPointDomain.INT, torch.bfloat16),
    (Mapping.ASYMMETRIC, ZeroPointDomain.FLOAT, "model"),
    (Mapping.ASYMMETRIC, ZeroPointDomain.FLOAT, torch.int32),
    (Mapping.STRETCHED, ZeroPointDomain.INT, "model"),
)
GRIDS = ((4, -8, 7), (8, 0, 255), (16, -(2**15), 2**15 - 1))


def scheme_of(kind: int, grid: int, scale_dtype: torch.dtype | str, rules: Rules) -> TensorScheme:
    mapping, domain, zero_point_dtype = KINDS[kind]
    bits, qmin, qmax = GRIDS[grid]
    if mapping is Mapping.STRETCHED:
        preset = presets.stretched_intx_weight_only(bits=bits, rules=rules, scale_dtype=scale_dtype)
        return replace(preset.weight, granularity=PerGroup(SIZE), eps=1e-6)
    return TensorScheme(
        bits=bits,
        qmin=qmin,
        qmax=qmax,
        granularity=PerGroup(SIZE),
        mapping=mapping,
        zero_point_domain=domain,
        zero_point_dtype=zero_point_dtype,
        scale_dtype=scale_dtype,
        eps=1e-6,
        rules=rules,
    )


@lru_cache(maxsize=512)
def stages(scheme: TensorScheme, start: TensorScheme, dtype: torch.dtype) -> Stages:
    x = directed(start, dtype, finite=False)
    return stages_of(scheme, x, uneven_gradient(x))


@pytest.mark.parametrize("base", BASES)
@pytest.mark.parametrize("dtype", FLOATS, ids=str)
@pytest.mark.parametrize("kind", range(len(KINDS)))
def test_an_irrelevant_decision_never_moves_a_bit(base: str, dtype: torch.dtype, kind: int) -> None:
    scales = ("model", torch.float32, torch.float16, torch.float64)
    for number, scale_dtype in enumerate(scales):
        try:
            scheme = scheme_of(kind, (number + kind) % len(GRIDS), scale_dtype, BASES[base])
            scheme.resolved(dtype)
        except ValueError:
            continue
        assert not moving(scheme, scheme, dtype)


@pytest.mark.parametrize("dtype", FLOATS, ids=str)
@pytest.mark.parametrize("levels", [None, torch.float32], ids=["one level", "two levels"])
def test_nor_where_scales_have_eight_bits(levels: torch.dtype | None, dtype: torch.dtype) -> None:
    rules = narrow_scales(TORCHAO.with_values(qparam_dtype="float64"))
    one = scheme_of(1, 0, torch.float8_e4m3fn, rules)
    assert not moving(replace(one, global_scale_dtype=levels), one, dtype)
    idle = {*Rules.decisions()} - {*relevant(one, dtype)}
    assert "float64_cast" not in idle
    assert "scale_overflow" not in idle


def moving(scheme: TensorScheme, start: TensorScheme, dtype: torch.dtype) -> list[str]:
    """Decisions said to be idle under a scheme of which some legal value moves a bit; groups are laid for `start`."""
    idle, found = {*Rules.decisions()} - {*relevant(scheme, dtype)}, []
    for name in sorted(idle):
        for member in enumeration_of(Rules, name):
            try:
                flipped = replace(scheme, rules=scheme.rules.with_values(**{name: str(member)}))
                flipped.resolved(dtype)
            except ValueError:
                continue
            moved = differing(stages(scheme, start, dtype), stages(flipped, start, dtype))
            found += [f"{name}={member} moves {moved} under {scheme}"] if moved else []
    return found


@pytest.mark.parametrize("idle", IDLE, ids=lambda idle: ",".join(idle.fields)[:40])
def test_every_reason_holds_somewhere_and_not_everywhere(idle: object) -> None:
    assert idle in IDLE
    held = set()
    for base in BASES.values():
        for kind in range(len(KINDS)):
            for grid in range(len(GRIDS)):
                for scale_dtype in ("model", torch.float64):
                    for dtype in FLOATS:
                        try:
                            resolved = scheme_of(kind, grid, scale_dtype, base).resolved(dtype)
                        except ValueError:
                            continue
                        held.add(idle.holds(resolved, dtype))  # type: ignore[attr-defined]  # pytest gives an object
    assert held == {True, False}


def test_what_acts_under_the_default_preset() -> None:
    """Symmetric int4 weights under the engine's rules: no float domain, no computed zero point, no reciprocal."""
    acting = relevant(presets.int8_dynamic_intx_weight().weight, torch.bfloat16)
    assert acting == (
        "range_nan",
        "qparam_dtype",
        "symmetric_scale",
        "scalar_division",
        "eps_target",
        "eps_order",
        "scale_rounding",
        "zero_scale",
        "zero_point_offset",
        "code_scale",
        "code_dtype",
        "code_division",
        "code_rounding",
        "zero_point_add",
        "zero_point_add_dtype",
        "code_clamp",
        "code_cast",
        "nan_code",
        "dequantize_scale",
        "subtract_dtype",
        "rescale_dtype",
        "operand_dtype",
        "gradient_mask",
        "gradient_product",
        "subnormals",
    )


@pytest.mark.parametrize(
    ("rules", "expected"),
    [
        ("engine", ("float32", "float32", "float32", "float64")),
        ("torchao", ("bfloat16", "bfloat16", "float32", "float32")),
        ("inductor", ("float32", "float32", "float32", "float32")),
    ],
)
def test_computing_dtypes_of_the_float_domain(rules: str, expected: tuple[str, ...]) -> None:
    """bf16 tensors, fp32 scales, bf16 zero points."""
    weight = presets.int4_weight_only(rules=rules, scale_dtype=torch.float32).weight
    computed = computed_dtypes(weight, torch.bfloat16)
    assert dict(computed) == {
        stage: getattr(torch, name)
        for stage, name in zip(("scale", "zero_point", "codes", "dequantized"), expected, strict=True)
    }


def test_computing_dtypes_without_a_zero_point() -> None:
    scheme = replace(
        presets.intx_weight_only(rules="torchao").weight, zero_point_domain=ZeroPointDomain.NONE, zero_point_dtype=None
    )
    assert dict(computed_dtypes(scheme, torch.float16)) == dict.fromkeys(
        ("scale", "codes", "dequantized"), torch.float16
    )
