"""torchao's own history, first part: ranges, eps and scales. Numbers are those of its list of 53 mismatches."""

from __future__ import annotations

from typing import Final

import torch

from parity.history.case import HistoryCase
from parity.history.schemes import (
    BF16,
    BF16_EPS,
    F32_EPS,
    FP16,
    FP32,
    FP64,
    int4_tinygemm,
    int4_weight,
    int8_asymmetric,
    int8_dynamic,
    int8_weight,
)
from quant import EpsOf, EpsProperty, Mapping, PerGroup, PropertyDtype

EPS_OF_INPUT: Final = EpsOf(EpsProperty.EPS, PropertyDtype.INPUT)
NORMAL_OF_INPUT: Final = EpsOf(EpsProperty.SMALLEST_NORMAL, PropertyDtype.INPUT)

_EPSES: Final = (
    HistoryCase(
        name="ao-06-group-eps",
        origin="ao#2060",
        told="the group path has fp32's eps written in",
        dtype=BF16,
        scheme=int4_weight(eps=EPS_OF_INPUT),
        weight={"eps": F32_EPS},
        first_stage="weight.scale",
    ),
    HistoryCase(
        name="ao-11-weight-eps",
        origin="ao#2085",
        told="PTQ bounds weights by fp32's eps, QAT by that of their dtype",
        dtype=BF16,
        scheme=int4_weight(scale_dtype=FP32),
        weight={"eps": EPS_OF_INPUT},
        first_stage="weight.scale",
    ),
    HistoryCase(
        name="ao-13-activation-eps",
        origin="ao#2180",
        told="an fp32 activation scale is bounded by bf16's eps: every token with a range below 2",
        dtype=BF16,
        scheme=int8_dynamic(eps=BF16_EPS),
        activation={"eps": F32_EPS},
        first_stage="input.scale",
    ),
    HistoryCase(
        name="ao-23-smallest-normal",
        origin="ao#4534",
        told="the bound becomes the smallest normal, which an fp16 scale does not hold: 0, and NaN after it",
        dtype=FP32,
        scheme=int4_weight(scale_dtype=FP16),
        weight={"eps": NORMAL_OF_INPUT},
        first_stage="weight.scale",
        alike={"eps_target": "a bound that fp16 rounds to 0 bounds no more than none"},
    ),
    HistoryCase(
        name="ao-24-rows-of-tiny-values",
        origin="ao#4534",
        told="one quantizer's bound becomes the smallest normal, the other's stays at eps",
        dtype=FP32,
        scheme=int8_weight(bits=3, qmin=-4, qmax=3, eps=EPS_OF_INPUT),
        weight={"eps": NORMAL_OF_INPUT},
        first_stage="weight.scale",
    ),
    HistoryCase(
        name="ao-25-int8-eps",
        origin="ao#3664",
        told="version 2 bounds int8 scales by bf16's eps, version 1 by fp32's",
        dtype=BF16,
        scheme=int8_weight(scale_dtype=FP32),
        weight={"eps": BF16_EPS},
        first_stage="weight.scale",
    ),
    HistoryCase(
        name="ao-31-no-eps",
        origin="ao#201",
        told="without a bound a group of zeros has the scale 0",
        dtype=FP32,
        scheme=int4_weight(),
        weight={"eps_target": "none"},
        first_stage="weight.scale",
    ),
)

_DTYPES: Final = (
    HistoryCase(
        name="ao-07-scale-precision",
        origin="ao#2085",
        told="convert keeps every scale in fp32",
        dtype=FP32,
        scheme=int4_weight(scale_dtype=BF16),
        weight={"scale_dtype": FP32},
        first_stage="weight.scale",
    ),
    HistoryCase(
        name="ao-08-activation-scale",
        origin="ao#2085",
        told="prepare keeps the activation's scale in the precision of the weight's",
        dtype=BF16,
        scheme=int8_dynamic(),
        activation={"scale_dtype": BF16},
        first_stage="input.scale",
    ),
    HistoryCase(
        name="ao-08-activation-scale-of-ptq",
        origin="ao#2085",
        told="PTQ keeps it in float64",
        dtype=BF16,
        scheme=int8_dynamic(),
        activation={"scale_dtype": FP64},
        first_stage="input.scale",
    ),
    HistoryCase(
        name="ao-19-activation-scale",
        origin="ao#2861",
        told="PTQ's dynamic activation scale, fp32 before, is in the model's dtype",
        dtype=BF16,
        scheme=int8_dynamic(),
        activation={"scale_dtype": "model"},
        first_stage="input.scale",
    ),
    HistoryCase(
        name="ao-26-buffers-recast",
        origin="ao#4459",
        told="the converted layer's buffers have the precision of the activations, not that of the scales",
        dtype=BF16,
        scheme=int4_weight(scale_dtype=FP32),
        weight={"scale_dtype": "model"},
        first_stage="weight.scale",
    ),
    HistoryCase(
        name="ao-27-gptq-scales",
        origin="ao#2403",
        told="GPTQ keeps every scale in bf16",
        dtype=FP32,
        scheme=int4_weight(),
        weight={"scale_dtype": BF16},
        first_stage="weight.scale",
    ),
    HistoryCase(
        name="ao-28-scales-and-zeros",
        origin="ao#479",
        told="tinygemm's scales and zero points are kept in bf16",
        dtype=FP16,
        scheme=int4_tinygemm(),
        weight={"scale_dtype": BF16, "zero_point_dtype": BF16},
        first_stage="weight.scale",
    ),
    HistoryCase(
        name="ao-30-token-scale",
        origin="ao#253",
        told="a token's scale is computed and kept in fp32, which only fp16 needs",
        dtype=BF16,
        scheme=int8_dynamic(symmetric=True, scale_dtype="model"),
        activation={"scale_dtype": FP32},
        first_stage="input.scale",
    ),
)

_RANGES: Final = (
    HistoryCase(
        name="ao-20-range-not-widened",
        origin="ao#2861",
        told="asymmetric weights keep their raw minimum and maximum: groups of one sign part",
        dtype=FP32,
        scheme=int4_weight(mapping=Mapping.ASYMMETRIC, preserve_zero=False),
        weight={"preserve_zero": True},
        first_stage="weight.scale",
    ),
    HistoryCase(
        name="ao-21-zero-point-saturates",
        origin="ao, seed",
        told="where the range does not hold zero, a clamped zero point cannot reach it",
        dtype=FP32,
        scheme=int4_weight(mapping=Mapping.ASYMMETRIC, preserve_zero=False, zero_point_dtype=torch.int32),
        weight={"zero_point_clamp": "none"},
        first_stage="weight.zero_point",
    ),
    HistoryCase(
        name="ao-33-no-clipping",
        origin="ao#805",
        told="[-8, 7] clips the greatest value, unless the greater of two scales is taken",
        dtype=BF16,
        scheme=int4_weight(),
        weight={"mapping": Mapping.SYMMETRIC_NO_CLIPPING},
        first_stage="weight.scale",
    ),
    HistoryCase(
        name="ao-35-scale-over-eight",
        origin="ao#2937",
        told="the kernel's scale is max|x|/8, the reference divides by 7.5",
        dtype=BF16,
        scheme=int4_weight(),
        weight={"symmetric_scale": "abs_qmin"},
        first_stage="weight.scale",
    ),
    HistoryCase(
        name="ao-39-group-size",
        origin="ao#4518",
        told="prepare has a group size of its own",
        dtype=BF16,
        scheme=int4_weight(),
        weight={"granularity": PerGroup(16)},
        first_stage="weight.scale",
    ),
    HistoryCase(
        name="ao-44-scalar-divisor",
        origin="ao#2210",
        told="a division by a number is a multiplication by its reciprocal on CUDA",
        dtype=FP32,
        scheme=int4_weight(),
        weight={"scalar_division": "reciprocal_multiply"},
        first_stage="weight.scale",
    ),
    HistoryCase(
        name="ao-47-scale-chain",
        origin="ao#904",
        told="the scale is computed in bf16 by one, in fp32 by the other",
        dtype=BF16,
        scheme=int8_asymmetric(scale_dtype=FP32),
        weight={"qparam_dtype": "float32"},
        first_stage="weight.scale",
    ),
    HistoryCase(
        name="ao-51-reduced-range",
        origin="ao#4266",
        told="a CPU without VNNI gets [-64, 63]",
        dtype=FP32,
        scheme=int8_weight(),
        weight={"qmin": -64, "qmax": 63},
        first_stage="weight.scale",
    ),
)

TORCHAO_SCALES: Final = (*_EPSES, *_DTYPES, *_RANGES)
