"""Burn's divergences in numbers, as rule sets of its backends: those open in August 2026, and those that it mended.

What operations on quantized tensors do otherwise is in `burn_operations`. Names begin with the place in its study.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Final

from parity.history.burn_schemes import burn_layer
from parity.history.case import HistoryCase
from parity.history.schemes import BF16, FP16, FP32
from quant import Mapping, PerBlock, PerGroup, QuantScheme, ZeroPointDomain
from quant.burn_rules import BURN_3042, BURN_HEAD_FLEX, BURN_HEAD_NDARRAY
from quant.legality import INTEGER_DTYPES


def _with_zero_points(scheme: QuantScheme, **changes: Any) -> QuantScheme:
    weight = replace(scheme.weight, zero_point_domain=ZeroPointDomain.INT, zero_point_dtype=INTEGER_DTYPES[0])
    return replace(scheme, weight=replace(weight, **changes))


_RECTANGLES: Final = burn_layer(BURN_HEAD_NDARRAY)
_AFFINE: Final = _with_zero_points(burn_layer(BURN_3042, qmin=-128), mapping=Mapping.ASYMMETRIC)

BURN_NUMBERS: Final = (
    HistoryCase(
        name="burn-8.1-2-affine",
        origin="burn, LibTorch at #3042",
        told="a tensor that is quantized as it comes gets a zero point, though its scheme says symmetric",
        dtype=FP32,
        scheme=_with_zero_points(burn_layer(BURN_3042, qmin=-128)),
        weight={"mapping": Mapping.ASYMMETRIC},
        first_stage="weight.scale",
    ),
    HistoryCase(
        name="burn-8.1-3-clipped-at-128",
        origin="burn, LibTorch at #3042",
        told="static quantization clips at -128, where the scheme ends at -127",
        dtype=FP32,
        scheme=burn_layer(BURN_3042),
        weight={"qmin": -128},
        first_stage="weight.scale",
    ),
    HistoryCase(
        name="burn-8.1-4-half-away",
        origin="burn, open in 2026",
        told="ndarray rounds halves away from zero, CubeCL to even",
        dtype=FP32,
        scheme=burn_layer(BURN_HEAD_NDARRAY),
        weight={"code_rounding": "half_even"},
        first_stage="weight.codes",
    ),
    HistoryCase(
        name="burn-8.1-6-product-through-fp16",
        origin="burn#3042",
        told="a product's result is fp16, whatever the float dtype",
        dtype=FP32,
        scheme=burn_layer(BURN_3042),
        layer={"product_output": "via_float16"},
        first_stage="output",
    ),
    HistoryCase(
        name="burn-8.2-3-nearest-scale",
        origin="burn#5261",
        told="a scale rounded to nearest into its dtype clips the block's maximum; since then it is rounded up",
        dtype=FP32,
        scheme=burn_layer(BURN_HEAD_NDARRAY, scale=BF16),
        weight={"scale_rounding": "nearest_even"},
        first_stage="weight.scale",
    ),
    HistoryCase(
        name="burn-8.2-4-raw-scale",
        origin="burn#5253",
        told="codes were made by the fp32 scale and read back by the narrow one that was stored",
        dtype=FP32,
        scheme=burn_layer(BURN_HEAD_NDARRAY, scale=BF16),
        weight={"code_scale": "unrounded"},
        first_stage="weight.codes",
    ),
    HistoryCase(
        name="burn-8.2-5-flat-blocks",
        origin="burn#5262",
        told="on the CPU a block of 2x16 was a run of 32 elements",
        dtype=FP32,
        scheme=replace(_RECTANGLES, weight=replace(_RECTANGLES.weight, granularity=PerBlock((2, 16)))),
        weight={"granularity": PerGroup(32)},
        first_stage="weight.scale",
    ),
    HistoryCase(
        name="burn-8.2-10-range-without-zero",
        origin="burn#2055",
        told="an affine range that did not hold zero could not represent it",
        dtype=FP32,
        scheme=_AFFINE,
        weight={"preserve_zero": False},
        first_stage="weight.scale",
    ),
    HistoryCase(
        name="burn-8.3-3-reciprocal",
        origin="burn, open in 2026",
        told="flex multiplies by the reciprocal where ndarray divides",
        dtype=FP32,
        scheme=burn_layer(BURN_HEAD_NDARRAY),
        weight={"code_division": "reciprocal_multiply"},
        first_stage="weight.codes",
    ),
    HistoryCase(
        name="burn-8.3-7-zero-scale",
        origin="burn, open in 2026",
        told="an all-zero block: ndarray stores 0 and reads 0.1, flex stores the smallest normal",
        dtype=FP32,
        scheme=burn_layer(BURN_HEAD_NDARRAY),
        weight={"zero_scale": "min_positive", "zero_scale_at": "stored"},
        first_stage="weight.scale",
    ),
    HistoryCase(
        name="burn-8.3-8-doubled-beyond-fp16",
        origin="burn, open in 2026",
        told="2a overflows in fp16, in which the Quantizer computes; flex's own path widens first",
        dtype=FP16,
        scheme=burn_layer(BURN_HEAD_FLEX, scale=FP32),
        weight={"qparam_dtype": "input"},
        first_stage="weight.scale",
    ),
)
