"""Tensor schemes without meaning, each with what its refusal must say."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch

from quant import (
    Learned,
    Mapping,
    PerGroup,
    Rules,
    TensorScheme,
    ZeroPointDomain,
    rules_named,
)
from quant.mapping import Extent
from quant.rule_sets import narrow_scales, stretched
from quant.scheme import ResolvedScheme

ENGINE, TORCHAO = rules_named("engine")[0], rules_named("torchao")[0]
NARROW, E4M3 = narrow_scales(TORCHAO), torch.float8_e4m3fn


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


def halves(**changes: Any) -> TensorScheme:
    values: dict[str, Any] = {
        "qmin": -7.5,
        "qmax": 7.5,
        "mapping": Mapping.STRETCHED,
        "extent": Extent.CAPPED_ABS_MEAN,
        "zero_point_dtype": "model",
        "rules": stretched(TORCHAO),
    }
    return scheme(**(values | changes))


def levels(own: Rules = NARROW, **changes: Any) -> TensorScheme:
    return scheme(own, **({"scale_dtype": E4M3, "global_scale_dtype": torch.float32} | changes))


def rules(**values: str) -> Rules:
    return TORCHAO.with_values(**values)


WIDE = {"bits": 16, "qmin": -(2**15), "qmax": 2**15 - 1}
NO_CLIPPING = Mapping.SYMMETRIC_NO_CLIPPING
FLOAT, NONE = ZeroPointDomain.FLOAT, ZeroPointDomain.NONE

# (what the sentence must say, the combination)
ILLEGAL_TENSORS: list[tuple[str, Callable[[], object]]] = [
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
        "zero_point_rule is from_value and zero_point_dtype is torch.float16",
        lambda: scheme(
            ENGINE.with_values(zero_point_rule="from_value"), mapping=Mapping.ASYMMETRIC, zero_point_dtype=torch.float16
        ),
    ),
    (
        "zero_point_offset is minus_one and zero_point_domain is float",
        lambda: float_domain(rules=rules(zero_point_offset="minus_one")),
    ),
    ("scale_dtype is torch.int8; use 'model' or one of float32", lambda: scheme(scale_dtype=torch.int8)),
    ("eps is 0.0; it must be a positive finite number", lambda: scheme(eps=0.0)),
    ("eps is inf; it must be a positive finite number", lambda: scheme(eps=math.inf)),
    # a grid of halves, and ranges of means
    ("qmax is 7; it must be a value of float", lambda: halves(qmax=7)),
    ("qmin is -7.5; it must be a value of int", lambda: scheme(qmin=-7.5)),
    (
        r"qmin is -7.5 and qmax is 3.5 with bits 4 and mapping stretched; the stretched grid of these bits is",
        lambda: halves(qmax=3.5),
    ),
    ("extent is 'min_max'; it must be a value of Extent", lambda: scheme(extent="min_max")),
    (
        "extent is abs_mean and mapping is asymmetric: a mean of magnitudes reaches to both sides",
        lambda: scheme(extent=Extent.ABS_MEAN, mapping=Mapping.ASYMMETRIC),
    ),
    (
        "mean_accumulate is exact and qparam_dtype is float64",
        lambda: scheme(rules(mean_accumulate="exact", qparam_dtype="float64"), extent=Extent.ABS_MEAN),
    ),
    ("preserve_zero is False and mapping is stretched:", lambda: halves(preserve_zero=False)),
    (
        "mapping is stretched and zero_point_domain is none",
        lambda: halves(zero_point_domain=NONE, zero_point_dtype=None),
    ),
    ("mapping is stretched and zero_point_dtype is torch.int8", lambda: halves(zero_point_dtype=torch.int8)),
    ("mapping is stretched and code_clamp is after_round", lambda: halves(rules=TORCHAO)),
    (
        "mapping is stretched and zero_point_add is after_round",
        lambda: halves(rules=stretched(TORCHAO).with_values(zero_point_add="after_round")),
    ),
    (
        "mapping is stretched and subtract_dtype is int32",
        lambda: halves(rules=stretched(TORCHAO).with_values(subtract_dtype="int32")),
    ),
    ("code_clamp is input_limits and mapping is symmetric", lambda: scheme(rules(code_clamp="input_limits"))),
    # scales of eight bits, and on two levels
    (
        "scale_overflow is infinite and scale_dtype is torch.float8_e4m3fn: the largest scale lies at the end",
        lambda: scheme(scale_dtype=E4M3),
    ),
    (
        "scale_overflow is infinite and global_scale_dtype is torch.float32: the largest scale lies at the end",
        lambda: scheme(scale_dtype=torch.float16, global_scale_dtype=torch.float32),
    ),
    (
        "eps_order is after_storage and scale_dtype is torch.float8_e4m3fn: what is stored is no scale to compare",
        lambda: scheme(rules(scale_overflow="saturate", eps_order="after_storage"), scale_dtype=E4M3),
    ),
    (
        "global_scale_dtype is torch.float16; the upper of two levels is stored in float32",
        lambda: levels(global_scale_dtype=torch.float16),
    ),
    (
        "extent is abs_mean and global_scale_dtype is torch.float32: the largest scale is that of extremes",
        lambda: levels(extent=Extent.ABS_MEAN),
    ),
    (
        r"statistic is Learned\(\) and global_scale_dtype is torch.float32: both levels come from the tensor at hand",
        lambda: levels(statistic=Learned()),
    ),
    (
        "mapping is stretched and global_scale_dtype is torch.float32: tables of a grid of halves have one level",
        lambda: halves(
            rules=narrow_scales(stretched(TORCHAO)),
            extent=Extent.MIN_MAX,
            scale_dtype=torch.float16,
            global_scale_dtype=torch.float32,
        ),
    ),
    (
        "scale_rounding is nearest_even and global_scale_dtype is torch.float32: the ratio of a small scale",
        lambda: levels(ENGINE.with_values(scale_overflow="saturate")),
    ),
    (
        "scale_dtype is torch.bfloat16 and global_scale_dtype is torch.float32: a ratio of scales is stored with",
        lambda: levels(scale_dtype="model").resolved(torch.bfloat16),
    ),
    (
        "eps is 1e-12 and a scale passes through torch.float8_e4m3fn: eps rounds to zero there",
        lambda: scheme(ENGINE.with_values(scale_overflow="saturate"), scale_dtype=E4M3, eps=1e-12).resolved(
            torch.float32
        ),
    ),
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
        "clamp_bound is rounded, codes are clamped in torch.float16 and qmax is 65535, beyond its largest, 65504.0",
        lambda: scheme(bits=16, qmin=0, qmax=65535).resolved(torch.float16),
    ),
    (
        "zero_point_clamp is clamp, zero points are computed in torch.float16 and qmax is 65535",
        lambda: scheme(rules(clamp_bound="exact"), mapping=Mapping.ASYMMETRIC, bits=16, qmin=0, qmax=65535).resolved(
            torch.float16
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
]


def _unresolved(**changes: Any) -> ResolvedScheme:
    return replace(scheme(scale_dtype=torch.float32).resolved(torch.float32), **changes)
