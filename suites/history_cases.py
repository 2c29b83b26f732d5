"""Bugs that people found by hand, each as two schemes that differ in the decision that was behind it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import torch

from quant import Mapping as RangeMapping
from quant import PerAxis, PerGroup, PerToken, QuantScheme, TensorScheme
from quant.rule_sets import ENGINE_PRODUCT, TORCHAO

FP32, BF16, FP16, FP64 = torch.float32, torch.bfloat16, torch.float16, torch.float64
F32_EPS, BF16_EPS = 2.0**-23, 2.0**-7


@dataclass(frozen=True, slots=True, kw_only=True)
class HistoryCase:
    """Two lanes: `scheme`, and what becomes of it by `rules` and `values`; causes are (field, value A, value B)."""

    name: str
    origin: str
    dtype: torch.dtype
    scheme: TensorScheme
    rules: Mapping[str, str] = field(default_factory=dict)
    values: Mapping[str, Any] = field(default_factory=dict)
    first_stage: str
    causes: frozenset[tuple[str, str, str]]

    @property
    def schemes(self) -> tuple[QuantScheme, QuantScheme]:
        """Both lanes' schemes; an exact product, so that nothing but these decisions moves the output."""
        other = replace(self.scheme, rules=self.scheme.rules.with_values(**self.rules), **self.values)
        return layer(self.scheme), layer(other)


def layer(weight: TensorScheme) -> QuantScheme:
    """A layer with this scheme on its weight, its activation left float."""
    return QuantScheme(weight=weight, product=ENGINE_PRODUCT)


def _asymmetric(scale_dtype: torch.dtype, **rules: str) -> TensorScheme:
    """int8 activations a token, as 8da4w has them."""
    return TensorScheme(
        bits=8,
        qmin=-128,
        qmax=127,
        granularity=PerToken(),
        mapping=RangeMapping.ASYMMETRIC,
        scale_dtype=scale_dtype,
        eps=F32_EPS,
        rules=TORCHAO.with_values(gradient_product="identity", **rules),
    )


def _symmetric(bits: int, scale_dtype: torch.dtype, eps: float = F32_EPS, **rules: str) -> TensorScheme:
    """Weights of int4 in groups of 32, of int8 a channel."""
    half = 2 ** (bits - 1)
    return TensorScheme(
        bits=bits,
        qmin=-half,
        qmax=half - 1,
        granularity=PerGroup(32) if bits == 4 else PerAxis(0),
        scale_dtype=scale_dtype,
        eps=eps,
        rules=TORCHAO.with_values(gradient_product="identity", **rules),
    )


def _flip(name: str, a: str, b: str) -> frozenset[tuple[str, str, str]]:
    return frozenset({(name, a, b)})


def _rounding(value: str, dtype: torch.dtype) -> HistoryCase:
    return HistoryCase(
        name=f"C8-{value}-{str(dtype).removeprefix('torch.')}",
        origin="onnxruntime#18576",
        dtype=dtype,
        scheme=_symmetric(8, FP32),
        rules={"code_rounding": value},
        first_stage="weight.codes",
        causes=_flip("code_rounding", "half_even", value),
    )


HISTORY = (
    HistoryCase(
        name="C1-zero-point-before-rounding",
        origin="ao#1964",
        dtype=BF16,
        scheme=_asymmetric(BF16),
        rules={"zero_point_add": "before_round"},
        first_stage="weight.codes",
        causes=_flip("zero_point_add", "after_round", "before_round"),
    ),
    HistoryCase(
        name="C1-with-a-float64-scale",
        origin="ao#1964",
        dtype=FP32,
        scheme=_asymmetric(FP32),
        rules={"zero_point_add": "before_round"},
        values={"scale_dtype": FP64},
        first_stage="weight.scale",
        causes=_flip("zero_point_add", "after_round", "before_round")
        | _flip("scheme.scale_dtype", "float32", "float64"),
    ),
    HistoryCase(
        name="C2-upcast",
        origin="ao#2060",
        dtype=BF16,
        scheme=_symmetric(4, BF16),
        rules={"code_dtype": "float32"},
        first_stage="weight.codes",
        causes=_flip("code_dtype", "promoted", "float32"),
    ),
    HistoryCase(
        name="C2-zero-point-of-least-error",
        origin="ao#2060",
        dtype=BF16,
        scheme=_asymmetric(FP32),
        rules={"zero_point_rule": "min_error"},
        first_stage="weight.zero_point",
        causes=_flip("zero_point_rule", "from_min", "min_error"),
    ),
    HistoryCase(
        name="C2-eps",
        origin="ao#2060",
        dtype=BF16,
        scheme=_asymmetric(FP32),
        values={"eps": BF16_EPS},
        first_stage="weight.scale",
        causes=_flip("scheme.eps", "2**-23", "2**-7"),
    ),
    HistoryCase(
        name="C2-all-three",
        origin="ao#2060",
        dtype=BF16,
        scheme=_asymmetric(BF16),
        rules={"code_dtype": "float32", "zero_point_rule": "min_error"},
        values={"eps": BF16_EPS},
        first_stage="weight.scale",
        causes=_flip("scheme.eps", "2**-23", "2**-7")
        | _flip("zero_point_rule", "from_min", "min_error")
        | _flip("code_dtype", "promoted", "float32"),
    ),
    HistoryCase(
        name="C3a-scale-in-float64",
        origin="ao#2085",
        dtype=BF16,
        scheme=_asymmetric(FP32, qparam_dtype="float64"),
        values={"scale_dtype": FP64},
        first_stage="weight.scale",
        causes=_flip("scheme.scale_dtype", "float32", "float64"),
    ),
    HistoryCase(
        name="C3a-scale-in-bfloat16",
        origin="ao#2085",
        dtype=BF16,
        scheme=_asymmetric(FP32, qparam_dtype="float32"),
        values={"scale_dtype": BF16},
        first_stage="weight.scale",
        causes=_flip("scheme.scale_dtype", "float32", "bfloat16"),
    ),
    HistoryCase(
        name="C3b-scale-cast-first",
        origin="ao#2085",
        dtype=BF16,
        scheme=_symmetric(4, FP32, qparam_dtype="float32"),
        rules={"rescale_dtype": "output"},
        first_stage="weight.dequantized",
        causes=_flip("rescale_dtype", "promoted", "output"),
    ),
    HistoryCase(
        name="C3d-scale-precision-ignored",
        origin="ao#2085",
        dtype=FP32,
        scheme=_symmetric(4, BF16),
        values={"scale_dtype": FP32},
        first_stage="weight.scale",
        causes=_flip("scheme.scale_dtype", "bfloat16", "float32"),
    ),
    HistoryCase(
        name="C4-eps-of-bfloat16",
        origin="ao#2180",
        dtype=BF16,
        scheme=_symmetric(4, FP32),
        values={"eps": BF16_EPS},
        first_stage="weight.scale",
        causes=_flip("scheme.eps", "2**-23", "2**-7"),
    ),
    HistoryCase(
        name="C4-smallest-normal",
        origin="ao#3664",
        dtype=FP32,
        scheme=_symmetric(8, FP32, BF16_EPS),
        values={"eps": 2.0**-126},
        first_stage="weight.scale",
        causes=_flip("scheme.eps", "2**-7", "2**-126"),
    ),
    HistoryCase(
        name="C4-reciprocal-overflows",
        origin="ao#4534",
        dtype=FP32,
        scheme=_symmetric(8, FP16, 2.0**-24),
        rules={"reciprocal_dtype": "code"},
        first_stage="weight.codes",
        causes=_flip("reciprocal_dtype", "scale", "code"),
    ),
    HistoryCase(
        name="C5-zero-point-before-rounding",
        origin="pytorch#49779",
        dtype=FP32,
        scheme=_asymmetric(FP32, code_dtype="float32"),
        rules={"zero_point_add": "before_round"},
        first_stage="weight.codes",
        causes=_flip("zero_point_add", "after_round", "before_round"),
    ),
    *(
        HistoryCase(
            name=f"C6-reciprocal-{str(dtype).removeprefix('torch.')}",
            origin="ao#229",
            dtype=dtype,
            scheme=_symmetric(8, dtype, code_division="divide"),
            rules={"code_division": "reciprocal_multiply"},
            first_stage="weight.codes",
            causes=_flip("code_division", "divide", "reciprocal_multiply"),
        )
        for dtype in (FP32, BF16, FP16)
    ),
    *(
        HistoryCase(
            name=f"C7-scale-in-{wide}",
            origin="pytorch#136181",
            dtype=BF16,
            scheme=_symmetric(8, FP32),
            rules={"qparam_dtype": wide},
            first_stage="weight.scale",
            causes=_flip("qparam_dtype", "input", wide),
        )
        for wide in ("float32", "float64")
    ),
    *(_rounding(value, dtype) for value in ("half_away", "half_up", "truncate") for dtype in (FP32, FP16)),
)
