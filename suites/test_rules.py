"""Every value of every decision either moves a bit where it says, in all flows alike, or is refused with a sentence."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields, replace
from enum import StrEnum
from itertools import product
from typing import Any

import pytest
import torch

from quant import Mapping, ProductRules, Rules, TensorScheme, ZeroPointDomain, rules_named
from quant.decisions import CodeClamp
from quant.granularity import PerGroup
from quant.mapping import Extent
from quant.presets import stretched_grid
from quant.rule_sets import stretched
from quant.rules import POLICY_FIELDS, enumeration_of
from suites import flip
from suites.directed_groups import FLOATS, SIZE, directed
from suites.quant_stages import differing, flows_of, stages_of, uneven_gradient, unlike

# The first stage in which a flip of the field may show; it may show later on some inputs.
FIRST_STAGE = {
    "scale": (
        *(
            "range_nan",
            "mean_accumulate",
            "qparam_dtype",
            "symmetric_scale",
            "scalar_division",
            "eps_target",
            "eps_order",
        ),
        *("scale_rounding", "scale_overflow", "zero_scale", "zero_scale_at", "float64_cast", "subnormals"),
    ),
    "zero_point": (
        *("zero_point_scale", "zero_point_division", "zero_point_rule", "zero_point_round_order"),
        *("zero_point_rounding", "zero_point_clamp", "float_zero_point", "zero_point_cast", "zero_point_offset"),
    ),
    "codes": (
        *("code_scale", "code_dtype", "code_division", "reciprocal_dtype", "float_code_division"),
        *("float_code_origin", "code_rounding", "zero_point_add", "zero_point_add_dtype", "code_clamp"),
        *("clamp_bound", "nan_code"),
    ),
    "fake codes": ("code_cast",),
    "dequantized": (
        *("dequantize_scale", "subtract_dtype", "rescale_dtype", "float_rescale_dtype", "rescale_intermediate"),
        *("rescale_fusion", "operand_dtype"),
    ),
    "gradient": ("gradient_mask", "gradient_product", "float_gradient_product"),
}
STAGE_OF = {name: stage for stage, names in FIRST_STAGE.items() for name in names}

# Other decisions a flip needs beside it, to be legal or to have something to act on.
COMPANIONS: dict[tuple[str, str], dict[str, str]] = {
    ("zero_scale_at", "use"): {"zero_scale": "tenth", "eps_target": "none"},
    ("code_division", "divide"): {"gradient_product": "identity"},
    ("zero_point_add_dtype", "code"): {"zero_point_add": "before_round"},
    ("rescale_fusion", "fma"): {"rescale_intermediate": "keep"},
    ("rescale_fusion", "fma_offset"): {"rescale_intermediate": "keep"},
    ("float_gradient_product", "scale_times_reciprocal"): {"float_code_division": "reciprocal_multiply"},
    ("scale_overflow", "saturate"): {"qparam_dtype": "float32"},
    ("rescale_dtype", "float64"): {"qparam_dtype": "float64", "operand_dtype": "float32"},
    ("float_rescale_dtype", "float32"): {"qparam_dtype": "float64"},
    ("float_rescale_dtype", "float64"): {"rescale_intermediate": "keep"},
}

TORCHAO, ENGINE = rules_named("torchao")[0], rules_named("engine")[0]
BASES = {
    "torchao": TORCHAO,
    "engine": replace(ENGINE, refuse_lossy=False),
    "wide": TORCHAO.with_values(qparam_dtype="float64"),
}
GRIDS = ((4, -8, 7), (8, -128, 127), (4, 0, 15), (16, -(2**15), 2**15 - 1))
DOMAINS = (
    (ZeroPointDomain.INT, torch.int32),
    (ZeroPointDomain.FLOAT, "model"),
    (ZeroPointDomain.NONE, None),
    (ZeroPointDomain.FLOAT, torch.int32),
    (ZeroPointDomain.INT, torch.float32),
)
FLIPS = [
    pytest.param(name, member, id=f"{name}={member}")
    for name in Rules.decisions()
    for member in enumeration_of(Rules, name)
]


def schemes(rules: Rules) -> Iterator[tuple[TensorScheme, torch.dtype]]:
    """Every legal scheme of a few dozen kinds, with an input dtype."""
    kinds = product(
        DOMAINS,
        Mapping,
        GRIDS,
        (torch.bfloat16, torch.float32, torch.float16, torch.float64),
        (torch.bfloat16, torch.float32, torch.float16),
    )
    for (domain, zero_point_dtype), mapping, (bits, qmin, qmax), scale_dtype, dtype in kinds:
        values: dict[str, Any] = {"bits": bits, "qmin": qmin, "qmax": qmax, "eps": 1e-6, "rules": rules}
        try:
            scheme = TensorScheme(
                granularity=PerGroup(SIZE),
                mapping=mapping,
                zero_point_domain=domain,
                zero_point_dtype=zero_point_dtype,
                scale_dtype=scale_dtype,
                **values,
            )
            scheme.resolved(dtype)
        except ValueError:
            continue
        yield scheme, dtype
    for (bits, qmin, qmax), scale_dtype, dtype in product(GRIDS[:2], (torch.bfloat16, torch.float32), FLOATS):
        common = {"bits": bits, "granularity": PerGroup(SIZE), "scale_dtype": scale_dtype, "eps": 1e-6}
        yield TensorScheme(**common, qmin=qmin, qmax=qmax, extent=Extent.ABS_MEAN, rules=rules), dtype
        yield replace(stretched_scheme(bits, stretched(rules)), scale_dtype=scale_dtype), dtype


def stretched_scheme(bits: int, rules: Rules) -> TensorScheme:
    qmin, qmax = stretched_grid(bits)
    return TensorScheme(
        bits=bits,
        qmin=qmin,
        qmax=qmax,
        granularity=PerGroup(SIZE),
        mapping=Mapping.STRETCHED,
        extent=Extent.CAPPED_ABS_MEAN,
        zero_point_dtype="model",
        eps=1e-6,
        rules=rules,
    )


def with_companions(base: Rules, name: str, member: StrEnum) -> Rules:
    return base.with_values(**COMPANIONS.get((name, str(member)), {}))


def test_every_decision_has_a_first_stage() -> None:
    assert sorted(STAGE_OF) == sorted(Rules.decisions())
    assert {f.name for f in fields(Rules)} - set(Rules.decisions()) == set(POLICY_FIELDS)


@pytest.mark.parametrize(("name", "member"), FLIPS)
def test_flip_moves_a_bit_at_its_stage_in_every_flow(name: str, member: StrEnum) -> None:
    """From each base the flip shows nowhere before its stage; somewhere it shows, and there all flows agree."""
    if member is getattr(TORCHAO, name):
        assert TORCHAO.with_values(**{name: str(member)}) == TORCHAO
        return
    if member is CodeClamp.INPUT_LIMITS:
        _assert_bound_to_stretched_grids()
        return
    moved: list[str] = []
    for base in BASES.values():
        for start, dtype in schemes(with_companions(base, name, member)):
            if getattr(start.rules, name) is member:
                continue
            try:
                flipped = replace(start, rules=start.rules.with_values(**{name: str(member)}))
                flipped.resolved(dtype)
            except ValueError:
                continue
            x = directed(start, dtype, finite=False)
            if str(member) == "raise":
                with pytest.raises(ValueError, match=r"values to quantize are NaN; nan_code is raise"):
                    stages_of(flipped, x, x)
                return
            grad = uneven_gradient(x)
            moved = differing(stages_of(start, x, grad), stages_of(flipped, x, grad))
            if moved:
                assert _index(moved[0]) >= _index(STAGE_OF[name]), (moved, start)
                _assert_flows_agree(start, flipped, dtype, moved)
                return
    assert moved, f"{name}={member} moved no bit in any case"


def _assert_bound_to_stretched_grids() -> None:
    """No scheme is legal both with limits on the input and without, so no flip of it can be computed."""
    limits = stretched(TORCHAO)
    with pytest.raises(ValueError, match="code_clamp is input_limits and mapping is symmetric: only a stretched grid"):
        TensorScheme(bits=4, qmin=-8, qmax=7, granularity=PerGroup(SIZE), eps=1e-6, rules=limits)
    assert stretched_scheme(4, limits).rules.code_clamp is CodeClamp.INPUT_LIMITS
    for other in CodeClamp:
        if other is not CodeClamp.INPUT_LIMITS:
            with pytest.raises(ValueError, match=f"mapping is stretched and code_clamp is {other}: codes of a grid of"):
                stretched_scheme(4, limits.with_values(code_clamp=other))


def _index(stage: str) -> int:
    return ("scale", "zero_point", "codes", "fake codes", "dequantized", "fake dequantized", "gradient").index(stage)


def _assert_flows_agree(start: TensorScheme, flipped: TensorScheme, dtype: torch.dtype, moved: list[str]) -> None:
    """Under rules that keep integer codes the flip moves the same bits of PTQ, prepare and convert."""
    if start.rules.code_cast is not flipped.rules.code_cast:
        return
    weight = directed(start, dtype, finite=False)
    before, after = (
        flows_of(replace(scheme, rules=scheme.rules.with_values(code_cast="integer")), weight)
        for scheme in (start, flipped)
    )
    for flows in (before, after):
        for flow in ("prepare", "convert"):
            assert unlike(flows[flow], flows["ptq"]) == [], flow
    expected = [stage for stage in moved if stage in ("scale", "zero_point", "codes", "dequantized")]
    for flow in before:
        assert unlike(before[flow], after[flow]) == expected, flow


@pytest.mark.parametrize("cls", [Rules, ProductRules])
def test_a_value_of_another_field_is_refused(cls: type[Rules] | type[ProductRules]) -> None:
    for name in cls.decisions():
        with pytest.raises(ValueError, match=rf"^{name} is 'nonsense'; its values are "):
            cls().with_values(**{name: "nonsense"})
        with pytest.raises(
            ValueError, match=rf"^{name} is 'nonsense'; it must be a {enumeration_of(cls, name).__name__}"
        ):
            cls(**{name: "nonsense"})
    with pytest.raises(ValueError, match=f"^{cls.__name__} has no decision 'nonsense'; its decisions are "):
        cls().with_values(nonsense="keep")


def test_a_text_that_equals_a_member_is_no_member() -> None:
    with pytest.raises(ValueError, match="code_division is 'divide'; it must be a CodeDivision"):
        Rules(code_division="divide")  # type: ignore[arg-type]  # the point of the test


def test_differences_name_what_differs() -> None:
    assert TORCHAO.differences(TORCHAO) == ()
    cuda, _ = rules_named("torchao_cuda")
    assert TORCHAO.differences(cuda) == (("scalar_division", "divide", "reciprocal_multiply"),)
    with pytest.raises(ValueError, match="there is no rule set 'nonsense'; the named sets are engine, torchao"):
        rules_named("nonsense")


def test_flips_are_counted_for_the_decision_pages(capsys: pytest.CaptureFixture[str]) -> None:
    """docs/decisions/002: with fp16 tensors and fp32 scales, a multiplication by the reciprocal moves 188 codes."""
    flip.main(["engine", "code_division=reciprocal_multiply", "--finite"])
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 12
    assert " float16 scale  float32: codes 188 of 73216, dequantized 188 of 73216, gradient 68 of 73216" in lines
    flip.main(["engine", "subtract_dtype=output", "--finite", "--domain", "int"])
    assert {line.split(": ")[1] for line in capsys.readouterr().out.splitlines()} == {"nothing moves"}
