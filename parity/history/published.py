"""Bugs of public projects, each found late and by hand: C1 to C8, a row for every decision that was behind one."""

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
    int4_weight,
    int8_asymmetric,
    int8_weight,
)
from quant import EpsOf, EpsProperty, PropertyDtype

EPS_OF_INPUT: Final = EpsOf(EpsProperty.EPS, PropertyDtype.INPUT)
NORMAL_OF_INPUT: Final = EpsOf(EpsProperty.SMALLEST_NORMAL, PropertyDtype.INPUT)

_ZERO_POINTS: Final = (
    HistoryCase(
        name="C1-zero-point-before-rounding",
        origin="ao#1964",
        told="prepare rounds x/s and adds the zero point, convert adds it first: ties part where it is odd",
        dtype=BF16,
        scheme=int8_asymmetric(),
        weight={"zero_point_add": "before_round"},
        first_stage="weight.codes",
    ),
    HistoryCase(
        name="C1-scale-in-float64",
        origin="ao#1964",
        told="convert's reference also keeps the scale in float64",
        dtype=FP32,
        scheme=int8_asymmetric(),
        weight={"zero_point_add": "before_round", "scale_dtype": FP64},
        first_stage="weight.scale",
    ),
    HistoryCase(
        name="C1-never-cast-back",
        origin="ao#1964",
        told="prepare multiplies by an fp32 scale and goes on in fp32, convert casts back to the model's dtype",
        dtype=BF16,
        scheme=int8_asymmetric(scale_dtype=FP32),
        weight={"operand_dtype": "float32"},
        first_stage="weight.dequantized",
    ),
    HistoryCase(
        name="C2-upcast",
        origin="ao#2060",
        told="the fake quantizer casts x to fp32 first, the converted layer does not",
        dtype=BF16,
        scheme=int4_weight(),
        weight={"code_dtype": "float32"},
        first_stage="weight.codes",
    ),
    HistoryCase(
        name="C2-zero-point-of-least-error",
        origin="ao#2060",
        told="the fake quantizer takes the zero point from the end of the range with the lesser error",
        dtype=BF16,
        scheme=int8_asymmetric(scale_dtype=FP32),
        weight={"zero_point_rule": "min_error"},
        first_stage="weight.zero_point",
    ),
    HistoryCase(
        name="C2-eps",
        origin="ao#2060",
        told="the fake quantizer has fp32's eps written in, the converted layer takes that of x's dtype",
        dtype=BF16,
        scheme=int8_asymmetric(scale_dtype=FP32),
        weight={"eps": EPS_OF_INPUT},
        first_stage="weight.scale",
    ),
    HistoryCase(
        name="C2-all-three",
        origin="ao#2060",
        told="upcast, zero point and eps at once, as they were",
        dtype=BF16,
        scheme=int8_asymmetric(),
        weight={"code_dtype": "float32", "zero_point_rule": "min_error", "eps": EPS_OF_INPUT},
        first_stage="weight.scale",
    ),
)

_DTYPES: Final = (
    HistoryCase(
        name="C3a-scale-in-float64",
        origin="ao#2085",
        told="PTQ keeps the activation's scale in float64, prepare in fp32",
        dtype=BF16,
        scheme=int8_asymmetric(scale_dtype=FP32, qparam_dtype="float64"),
        weight={"scale_dtype": FP64},
        first_stage="weight.scale",
    ),
    HistoryCase(
        name="C3a-scale-in-the-model's-dtype",
        origin="ao#2085",
        told="prepare keeps the activation's scale in the dtype of the weight's scales",
        dtype=BF16,
        scheme=int8_asymmetric(scale_dtype=FP32, qparam_dtype="float32"),
        weight={"scale_dtype": "model"},
        first_stage="weight.scale",
    ),
    HistoryCase(
        name="C3b-scale-cast-first",
        origin="ao#2085",
        told="one dequantization casts the scale to the output's dtype and multiplies, the other multiplies and casts",
        dtype=BF16,
        scheme=int4_weight(scale_dtype=FP32, qparam_dtype="float32"),
        weight={"rescale_dtype": "output"},
        first_stage="weight.dequantized",
    ),
    HistoryCase(
        name="C3c-output-in-the-indices'-dtype",
        origin="ao#2085",
        told="the converted embedding casts its rows to the dtype of its indices, so that weights become 0",
        dtype=BF16,
        scheme=int4_weight(),
        output_dtype=torch.int64,
        embedding=True,
        first_stage="output",
    ),
    HistoryCase(
        name="C3d-scale-precision-ignored",
        origin="ao#2085",
        told="the group's scales are kept in fp32, whatever precision was asked for",
        dtype=BF16,
        scheme=int4_weight(),
        weight={"scale_dtype": FP32},
        first_stage="weight.scale",
    ),
)

_EPSES: Final = (
    HistoryCase(
        name="C4-eps-of-bfloat16",
        origin="ao#2180",
        told="an fp32 scale is bounded by bf16's eps, 2**-7, which groups of small values fall below",
        dtype=BF16,
        scheme=int4_weight(scale_dtype=FP32),
        weight={"eps": BF16_EPS},
        first_stage="weight.scale",
    ),
    HistoryCase(
        name="C4-eps-of-the-tensor",
        origin="ao#3664",
        told="int8 weights are bounded by the eps of their own dtype, before it was fp32's",
        dtype=BF16,
        scheme=int8_weight(scale_dtype=FP32),
        weight={"eps": EPS_OF_INPUT},
        first_stage="weight.scale",
    ),
    HistoryCase(
        name="C4-smallest-normal",
        origin="ao#4534",
        told="the bound becomes the smallest normal, which lets tiny scales be what they are",
        dtype=FP32,
        scheme=int8_weight(scale_dtype=FP32),
        weight={"eps": NORMAL_OF_INPUT},
        first_stage="weight.scale",
    ),
    HistoryCase(
        name="C4-reciprocal-overflows",
        origin="ao#4534",
        told="below the old bound the reciprocal of an fp16 scale is infinite, unless it is taken in fp32",
        dtype=FP16,
        scheme=int8_weight(eps=2.0**-24, code_dtype="float32"),
        weight={"reciprocal_dtype": "code"},
        first_stage="weight.codes",
        alike={"code_division": "x/s of fp16 numbers, if no tie, is further from one than 1/s in fp32 is wrong"},
    ),
)

_DIVISIONS: Final = (
    HistoryCase(
        name="C5-zero-point-before-rounding",
        origin="pytorch#49779",
        told="fake quantize rounds before it adds the zero point on CPU, and after it on CUDA",
        dtype=FP32,
        scheme=int8_asymmetric(code_dtype="float32"),
        weight={"zero_point_add": "before_round"},
        first_stage="weight.codes",
    ),
    *(
        HistoryCase(
            name=f"C6-reciprocal-{str(dtype).removeprefix('torch.')}",
            origin="ao#229",
            told="one side divides by the scale, the other multiplies by its reciprocal: the row's maximum parts",
            dtype=dtype,
            scheme=int8_weight(code_division="divide"),
            weight={"code_division": "reciprocal_multiply"},
            first_stage="weight.codes",
        )
        for dtype in (FP32, BF16, FP16)
    ),
    *(
        HistoryCase(
            name=f"C7-scale-in-{wide}",
            origin="pytorch#136181",
            told=f"eager computes the scale in bf16 and widens it, compiled code computes it in {wide}",
            dtype=BF16,
            scheme=int8_weight(scale_dtype=FP32),
            weight={"qparam_dtype": wide},
            first_stage="weight.scale",
        )
        for wide in ("float32", "float64")
    ),
)

_ROUNDINGS: Final = tuple(
    HistoryCase(
        name=f"C8-{value.replace('_', '-')}-{str(dtype).removeprefix('torch.')}",
        origin="onnxruntime#18576",
        told=f"one backend rounds half to even, another by {value}",
        dtype=dtype,
        scheme=int8_weight(scale_dtype=FP32),
        weight={"code_rounding": value},
        first_stage="weight.codes",
    )
    for value in ("half_away", "truncate")
    for dtype in (FP32, FP16)
)

PUBLISHED: Final = (*_ZERO_POINTS, *_DTYPES, *_EPSES, *_DIVISIONS, *_ROUNDINGS)
