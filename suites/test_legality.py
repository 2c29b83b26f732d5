"""Every combination without meaning raises a ValueError that names fields and values, each reason its own sentence."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch

from quant import (
    EpsOf,
    Mapping,
    PerAxis,
    PerBlock,
    PerGroup,
    PerRow,
    PerTensor,
    PerToken,
    ProductRules,
    QuantScheme,
    Rules,
    TensorScheme,
    ZeroPointDomain,
    choose_qparams,
    dequantize,
    presets,
    quantize,
    rules_named,
)
from quant.granularity import Stacked
from quant.scheme import ResolvedScheme

ENGINE, TORCHAO = rules_named("engine")[0], rules_named("torchao")[0]
CODES = ProductRules().with_values(product_operands="codes", accumulate="int32", bias_add="after_output_cast")


def scheme(rules: Rules = TORCHAO, **changes: Any) -> TensorScheme:
    values: dict[str, Any] = {"bits": 4, "qmin": -8, "qmax": 7, "granularity": PerGroup(4), "eps": 1e-3}
    return TensorScheme(**(values | changes), rules=rules)


def engine(dtype: torch.dtype = torch.float32, **changes: Any) -> TensorScheme:
    return scheme(ENGINE, **changes).resolved(dtype)


def float_domain(**changes: Any) -> TensorScheme:
    values: dict[str, Any] = {
        "mapping": Mapping.ASYMMETRIC,
        "zero_point_domain": ZeroPointDomain.FLOAT,
        "zero_point_dtype": "model",
    }
    return scheme(**(values | changes))


def layer(activation: TensorScheme | None = None, **changes: Any) -> QuantScheme:
    weight = changes.pop("weight", scheme(granularity=PerAxis(0)))
    return QuantScheme(weight=weight, activation=activation, product=changes.pop("product", CODES), **changes)


def rules(**values: str) -> Rules:
    return TORCHAO.with_values(**values)


PRODUCT = ProductRules()
WIDE = {"bits": 16, "qmin": -(2**15), "qmax": 2**15 - 1}
NO_CLIPPING = Mapping.SYMMETRIC_NO_CLIPPING
FLOAT, NONE = ZeroPointDomain.FLOAT, ZeroPointDomain.NONE

# (what the sentence must say, the combination)
ILLEGAL: list[tuple[str, Callable[[], object]]] = [
    # one tensor, before it meets a tensor
    ("bits is 4.0; it must be a value of int", lambda: scheme(bits=4.0)),
    ("qmin is True; it must be a value of int", lambda: scheme(qmin=True)),
    ("granularity is 32; it must be a value of PerTensor or PerAxis", lambda: scheme(granularity=32)),
    ("mapping is 'symmetric'; it must be a value of Mapping", lambda: scheme(mapping="symmetric")),
    ("preserve_zero is None; it must be a value of bool", lambda: scheme(preserve_zero=None)),
    ("zero_point_domain is 'int'; it must be a value of ZeroPointDomain", lambda: scheme(zero_point_domain="int")),
    ("rules is 'torchao'; it must be a value of Rules", lambda: scheme("torchao")),  # type: ignore[arg-type]  # tested
    ("bits is 0; it must be between 1 and 16", lambda: scheme(bits=0, qmin=0, qmax=0)),
    ("bits is 17; it must be between 1 and 16", lambda: scheme(bits=17)),
    ("qmin is -9 and qmax is 7 with bits 4", lambda: scheme(qmin=-9)),
    ("qmin is 1 and qmax is 7 with bits 4", lambda: scheme(qmin=1)),
    ("qmin is 0 and qmax is 16 with bits 4", lambda: scheme(qmin=0, qmax=16)),
    ("qmin is 0 and qmax is 0 with bits 4", lambda: scheme(qmin=0, qmax=0)),
    ("preserve_zero is False and mapping is symmetric:", lambda: scheme(preserve_zero=False)),
    (
        "preserve_zero is False and mapping is symmetric_no_clipping:",
        lambda: scheme(preserve_zero=False, mapping=NO_CLIPPING),
    ),
    (
        "mapping is symmetric_no_clipping and qmax is 0",
        lambda: scheme(mapping=NO_CLIPPING, bits=1, qmin=-1, qmax=0),
    ),
    ("symmetric_scale is qmax and qmax is 0", lambda: scheme(rules(symmetric_scale="qmax"), bits=1, qmin=-1, qmax=0)),
    ("symmetric_scale is abs_qmin and qmin is 0", lambda: scheme(rules(symmetric_scale="abs_qmin"), qmin=0)),
    (
        "eps_target is range and mapping is symmetric_no_clipping",
        lambda: scheme(rules(eps_target="range"), mapping=NO_CLIPPING),
    ),
    ("zero_point_domain is none and zero_point_dtype is torch.int32", lambda: scheme(zero_point_domain=NONE)),
    (
        "zero_point_domain is none and mapping is asymmetric",
        lambda: scheme(zero_point_domain=NONE, zero_point_dtype=None, mapping=Mapping.ASYMMETRIC),
    ),
    (
        r"zero_point_domain is none and the grid is \[0, 15\]",
        lambda: scheme(zero_point_domain=NONE, zero_point_dtype=None, qmin=0, qmax=15),
    ),
    ("zero_point_dtype is None and zero_point_domain is int", lambda: scheme(zero_point_dtype=None)),
    ("zero_point_dtype is torch.float64; use 'model' or one of int8", lambda: scheme(zero_point_dtype=torch.float64)),
    (
        "zero_point_domain is float and mapping is symmetric:",
        lambda: scheme(zero_point_domain=FLOAT, zero_point_dtype="model"),
    ),
    (
        "zero_point_domain is float and zero_point_dtype is torch.int32",
        lambda: float_domain(rules=ENGINE, zero_point_dtype=torch.int32),
    ),
    (
        "rescale_fusion is fma and zero_point_domain is int",
        lambda: scheme(rules(rescale_fusion="fma", rescale_intermediate="keep")),
    ),
    (
        "zero_point_add is before_round_fma and zero_point_domain is float",
        lambda: float_domain(rules=rules(zero_point_add="before_round_fma")),
    ),
    (
        "zero_point_offset is minus_one and zero_point_domain is float",
        lambda: float_domain(rules=rules(zero_point_offset="minus_one")),
    ),
    ("scale_dtype is torch.int8; use 'model' or one of float32", lambda: scheme(scale_dtype=torch.int8)),
    ("eps is 0.0; it must be a positive finite number", lambda: scheme(eps=0.0)),
    ("eps is inf; it must be a positive finite number", lambda: scheme(eps=math.inf)),
    # one tensor, once its dtype is known
    ("the tensor's dtype is torch.float64; quantization takes one of", lambda: scheme().resolved(torch.float64)),
    ("scale_dtype of a resolved scheme is 'model'", lambda: _unresolved(scale_dtype="model")),
    ("zero_point_dtype of a resolved scheme is 'model'", lambda: _unresolved(zero_point_dtype="model")),
    ("eps of a resolved scheme is EpsOf", lambda: _unresolved(eps=ENGINE.default_eps)),
    ("eps is 1000000.0 and bounds values of torch.float16", lambda: scheme(eps=1e6).resolved(torch.float16)),
    (
        "zero_point_add is before_round_fma and codes are computed in torch.float64",
        lambda: scheme(rules(zero_point_add="before_round_fma", code_dtype="float64")).resolved(torch.float32),
    ),
    (
        "eps is 1e-38 and a scale passes through torch.float16",
        lambda: engine(eps=1e-38, scale_dtype=torch.float16),
    ),
    (
        "eps is 1e-300 and a scale passes through torch.float32",
        lambda: engine(eps=1e-300, scale_dtype=torch.float64),
    ),
    (
        "clamp_bound is rounded, codes are computed in torch.bfloat16 and qmax is 32767",
        lambda: scheme(replace(TORCHAO, refuse_lossy=True), scale_dtype=torch.bfloat16, **WIDE).resolved(
            torch.bfloat16
        ),
    ),
    (
        r"zero points lie in \[-32768, 32767\] and are computed in torch.bfloat16",
        lambda: scheme(
            replace(ENGINE.with_values(qparam_dtype="input"), refuse_lossy=True), mapping=Mapping.ASYMMETRIC, **WIDE
        ).resolved(torch.bfloat16),
    ),
    (
        r"zero_point_dtype is torch.int8 and stored zero points lie in \[0, 255\]",
        lambda: engine(bits=8, qmin=0, qmax=255, zero_point_dtype=torch.int8, mapping=Mapping.ASYMMETRIC),
    ),
    (
        r"zero_point_dtype is torch.uint8 and stored zero points lie in \[-1, 0\]",
        lambda: scheme(ENGINE.with_values(zero_point_offset="minus_one"), zero_point_dtype=torch.uint8).resolved(
            torch.float32
        ),
    ),
    (
        r"zero_point_dtype is torch.bfloat16 and stored zero points lie in \[-32768, 32767\]",
        lambda: engine(mapping=Mapping.ASYMMETRIC, zero_point_dtype=torch.bfloat16, **WIDE),
    ),
    # two decisions
    ("eps_order is after_storage and eps_target is none", lambda: rules(eps_order="after_storage", eps_target="none")),
    ("zero_scale_at is use and zero_scale is keep", lambda: rules(zero_scale_at="use")),
    (
        "zero_point_add is before_round_fma and code_division is divide",
        lambda: rules(zero_point_add="before_round_fma", code_division="divide", gradient_product="identity"),
    ),
    ("rescale_fusion is fma and rescale_intermediate is output", lambda: rules(rescale_fusion="fma")),
    ("rescale_fusion is fma_offset and rescale_intermediate is output", lambda: rules(rescale_fusion="fma_offset")),
    ("gradient_product is scale_times_reciprocal and code_division is divide", lambda: rules(code_division="divide")),
    (
        "float_gradient_product is scale_times_reciprocal and float_code_division is divide",
        lambda: rules(float_gradient_product="scale_times_reciprocal"),
    ),
    # a product
    ("accumulate is int32 and product_operands is dequantized", lambda: PRODUCT.with_values(accumulate="int32")),
    ("accumulate is native and product_operands is codes", lambda: PRODUCT.with_values(product_operands="codes")),
    (
        "code_product_rescale is input_first and product_operands is dequantized",
        lambda: PRODUCT.with_values(code_product_rescale="input_first"),
    ),
    ("bias_add is in_accumulator and product_operands is codes", lambda: CODES.with_values(bias_add="in_accumulator")),
    (
        "product_output is promoted and product_operands is dequantized",
        lambda: PRODUCT.with_values(product_output="promoted"),
    ),
    (
        "bias_add is before_output_cast and accumulate is native",
        lambda: PRODUCT.with_values(bias_add="before_output_cast"),
    ),
    # a layer
    ("output_dtype is torch.int8; use 'model' or one of", lambda: layer(product=PRODUCT, output_dtype=torch.int8)),
    ("product_operands is codes and the activation scheme is None", lambda: layer()),
    (
        r"product_operands is codes and the weight's granularity is PerGroup\(size=4\)",
        lambda: layer(scheme(granularity=PerToken()), weight=scheme()),
    ),
    (
        r"product_operands is codes and the activation's granularity is PerGroup\(size=4\)",
        lambda: layer(scheme()),
    ),
    (
        r"product_operands is codes and the weight's granularity is PerAxis\(axis=1\): scales along k",
        lambda: layer(scheme(granularity=PerToken()), weight=scheme(granularity=PerAxis(1))),
    ),
    (
        "product_operands is codes and the weight's zero_point_domain is float",
        lambda: layer(scheme(granularity=PerToken()), weight=float_domain(granularity=PerTensor())),
    ),
    (
        "product_operands is codes and the activation's zero_point_domain is float",
        lambda: layer(float_domain(granularity=PerToken())),
    ),
    # shapes
    ("group size is 0; it must be at least 1", lambda: PerGroup(0)),
    (r"group size 3 does not divide the last dimension of \(2, 4\)", lambda: PerGroup(3).block_shape((2, 4))),
    (r"axis is 2, but the shape \(2, 4\) has 2 dimensions", lambda: PerAxis(2).block_shape((2, 4))),
    (r"the shape \(4,\) has no rows", lambda: PerRow().block_shape((4,))),
    ("a tensor without dimensions has no tokens", lambda: PerToken().block_shape(())),
    (r"blocks of \(3, 2\) do not tile the shape \(2, 4\)", lambda: PerBlock((3, 2)).block_shape((2, 4))),
    ("a tensor without dimensions is no stack of cases", lambda: Stacked(PerTensor()).block_shape(())),
    (r"the shape \(0, 4\) holds no elements", lambda: choose_qparams(torch.zeros(0, 4), scheme())),
    (r"x of shape \(2, 8\) has groups of shape \(2, 2\), but the scale's shape is \(1, 1\)", lambda: _other_shape()),
    ("dtype is torch.float64; dequantize returns float32, bfloat16 or float16", lambda: _other_output()),
    ("the rules read the unrounded scale, but these qparams hold only the stored one", lambda: _only_stored()),
    ("float_code_origin is min, but these qparams hold no minimum", lambda: _without_minimum()),
    ("1 of 4 values to quantize are NaN; nan_code is raise", lambda: _nan()),
]


def _unresolved(**changes: Any) -> ResolvedScheme:
    return replace(scheme(scale_dtype=torch.float32).resolved(torch.float32), **changes)


def _other_shape() -> object:
    return quantize(torch.ones(2, 8), choose_qparams(torch.ones(1, 4), scheme()))


def _other_output() -> object:
    return dequantize(quantize(torch.ones(1, 4), choose_qparams(torch.ones(1, 4), scheme())), torch.float64)


def _only_stored() -> object:
    qparams = choose_qparams(torch.ones(1, 4), scheme(rules(code_scale="unrounded")))
    return quantize(torch.ones(1, 4), replace(qparams, unrounded_scale=None))


def _without_minimum() -> object:
    qparams = choose_qparams(torch.ones(1, 4), float_domain(rules=rules(float_code_origin="min")))
    return quantize(torch.ones(1, 4), replace(qparams, minimum=None))


def _nan() -> object:
    x = torch.tensor([[1.0, 2.0, 3.0, torch.nan]])
    return quantize(x, choose_qparams(x, scheme(rules(nan_code="raise", range_nan="ignore"))))


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
@pytest.mark.parametrize("mapping", list(Mapping))
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
