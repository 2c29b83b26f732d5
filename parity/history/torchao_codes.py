"""torchao's own history, second part: zero points, codes and what is made of them again."""

from __future__ import annotations

from typing import Final

import torch

from parity.history.case import HistoryCase
from parity.history.schemes import (
    BF16,
    BF16_EPS,
    FP16,
    FP32,
    FP64,
    int4_tinygemm,
    int4_weight,
    int8_asymmetric,
    int8_dynamic,
    int8_weight,
)
from quant import Mapping

_ZERO_POINTS: Final = (
    HistoryCase(
        name="ao-02-zero-point-before-rounding",
        origin="ao#229",
        told="8da4w QAT divides, and adds the zero point before it rounds; PTQ multiplies, and adds it after",
        dtype=FP32,
        scheme=int8_asymmetric(),
        weight={"zero_point_add": "before_round", "code_division": "divide"},
        first_stage="weight.codes",
    ),
    HistoryCase(
        name="ao-03-decomposed-reference",
        origin="ao#1964",
        told="convert uses the decomposed operators: a float64 scale, and the zero point added before rounding",
        dtype=BF16,
        scheme=int8_dynamic(),
        activation={"scale_dtype": FP64, "zero_point_add": "before_round"},
        first_stage="input.scale",
    ),
    HistoryCase(
        name="ao-04-zero-point-of-least-error",
        origin="ao#2060",
        told="the zero point comes from XNNPACK's rule of the lesser error",
        dtype=BF16,
        scheme=int8_dynamic(),
        activation={"zero_point_rule": "min_error", "zero_point_round_order": "subtract_first"},
        first_stage="input.zero_point",
    ),
    HistoryCase(
        name="ao-22-float-zero-point-cut",
        origin="ao#2085",
        told="a float zero point meets an integer dtype, and is cut where another rounds it",
        dtype=BF16,
        scheme=int4_tinygemm(zero_point_dtype=torch.int32),
        weight={"zero_point_cast": "nearest"},
        first_stage="weight.zero_point",
    ),
    HistoryCase(
        name="ao-43-zero-point-dtype",
        origin="ao#1577",
        told="the default dtype of zero points is another, in which one beyond the grid wraps",
        dtype=FP32,
        scheme=int8_asymmetric(preserve_zero=False, zero_point_clamp="none"),
        weight={"zero_point_dtype": torch.int8},
        first_stage="weight.zero_point",
    ),
)

_CODES: Final = (
    HistoryCase(
        name="ao-01-reciprocal",
        origin="ao#244",
        told="QAT divides by the scale, after PTQ began to multiply by its reciprocal",
        dtype=FP32,
        scheme=int4_weight(code_division="divide"),
        weight={"code_division": "reciprocal_multiply"},
        first_stage="weight.codes",
    ),
    HistoryCase(
        name="ao-05-upcast",
        origin="ao#2060",
        told="the fake quantizer computes codes in fp32, PTQ in the model's dtype",
        dtype=FP16,
        scheme=int8_dynamic(scale_dtype="model"),
        activation={"code_dtype": "float32"},
        first_stage="input.codes",
    ),
    HistoryCase(
        name="ao-53-bfloat16-chains",
        origin="ao#692",
        told="without the assertion of fp32, QAT computes ranges and codes in bf16",
        dtype=BF16,
        scheme=int4_weight(scale_dtype=FP32, qparam_dtype="float32", code_dtype="float32"),
        weight={"qparam_dtype": "input", "code_dtype": "input"},
        first_stage="weight.scale",
    ),
)

_DEQUANTIZED: Final = (
    HistoryCase(
        name="ao-10-cast-order",
        origin="ao#2085",
        told="the group's dequantization multiplies in the scale's dtype and casts, the affine one casts first",
        dtype=FP32,
        scheme=int4_weight(scale_dtype=BF16),
        weight={"rescale_dtype": "scale"},
        first_stage="weight.dequantized",
    ),
    HistoryCase(
        name="ao-15-int32-detour",
        origin="ao#2280",
        told="the zero point is subtracted in int32; cast to bf16 first, codes beyond 8 bits lose their last ones",
        dtype=BF16,
        scheme=int8_weight(bits=16, qmin=-32767, qmax=32767, mapping=Mapping.ASYMMETRIC, code_dtype="float32"),
        weight={"subtract_dtype": "int32"},
        first_stage="weight.dequantized",
    ),
    HistoryCase(
        name="ao-34-kernel-reference",
        origin="ao#2986",
        told="the kernel counts codes from the minimum and has the eps 1e-6, QAT mimics one that does neither",
        dtype=BF16,
        scheme=int4_tinygemm(eps=BF16_EPS),
        weight={"float_code_origin": "min", "eps": 1e-6},
        first_stage="weight.scale",
    ),
    HistoryCase(
        name="ao-45-fused-multiply-add",
        origin="ao, tinygemm",
        told="the kernel rounds code * scale + zero once, the reference twice",
        dtype=FP32,
        scheme=int4_tinygemm(),
        weight={"rescale_intermediate": "keep", "rescale_fusion": "fma"},
        first_stage="weight.dequantized",
        alike={"float_rescale_dtype": "in float64 the product is exact, so that its sum is rounded once as well"},
    ),
    HistoryCase(
        name="ao-45-operand-never-rounded",
        origin="ao, tinygemm",
        told="the kernel on CPU never rounds the weight to bf16",
        dtype=BF16,
        scheme=int4_tinygemm(rescale_intermediate="keep", float_rescale_dtype="float32"),
        weight={"operand_dtype": "float32"},
        first_stage="weight.dequantized",
    ),
)

TORCHAO_CODES: Final = (*_ZERO_POINTS, *_CODES, *_DEQUANTIZED)
