"""Burn's divergences: those open in its source of August 2026, and those that it mended, as two of its backends."""

from __future__ import annotations

from typing import Any, Final

from parity.history.case import HistoryCase
from parity.history.schemes import BF16, FP16, FP32
from quant import PerGroup, PerTensor, QuantScheme, TensorScheme, ZeroPointDomain, fake_quantize
from quant.burn_rules import BURN_3042, BURN_HEAD_FLEX, BURN_HEAD_NDARRAY
from quant.granularity import Granularity
from quant.rule_sets import ENGINE_PRODUCT
from quant.rules import Rules


def _tensor(rules: Rules, bits: int, qmin: int, granularity: Granularity, scale: Any) -> TensorScheme:
    return TensorScheme(
        bits=bits,
        qmin=qmin,
        qmax=2 ** (bits - 1) - 1,
        granularity=granularity,
        zero_point_domain=ZeroPointDomain.NONE,
        zero_point_dtype=None,
        scale_dtype=scale,
        eps=rules.default_eps,
        rules=rules,
    )


def _layer(
    rules: Rules, *, bits: int = 8, qmin: int = -127, blocks: bool = True, scale: Any = FP32, act: bool = False
) -> QuantScheme:
    """Q8S in blocks of 32 unless it is said; the rules as they are, without refusals."""
    computed = rules.with_values(nan_code="zero")  # Burn panics at a NaN, and its backends are compared on the rest
    weight = _tensor(computed, bits, qmin, PerGroup(32) if blocks else PerTensor(), scale)
    activation = _tensor(computed, 8, -127, PerTensor(), scale) if act else None
    return QuantScheme(weight=weight, activation=activation, product=ENGINE_PRODUCT)


_DRIFTING: Final = _layer(BURN_HEAD_NDARRAY, bits=4, qmin=-8)

_OPEN: Final = (
    HistoryCase(
        name="burn-1-drift",
        origin="burn, 8.3-1",
        told="a full-range tensor that propagates once more is read back smaller: its maximum was clipped",
        dtype=FP32,
        scheme=_DRIFTING,
        spoiled={"weight.dequantized": lambda values: fake_quantize(values, _DRIFTING.weight)},
        first_stage="weight.dequantized",
    ),
    HistoryCase(
        name="burn-2-half-away",
        origin="burn, 8.1-4",
        told="ndarray rounds halves away from zero, CubeCL to even",
        dtype=FP32,
        scheme=_layer(BURN_HEAD_NDARRAY),
        weight={"code_rounding": "half_even"},
        first_stage="weight.codes",
    ),
    HistoryCase(
        name="burn-3-reciprocal",
        origin="burn, 8.3-3",
        told="flex multiplies by the reciprocal where ndarray divides",
        dtype=FP32,
        scheme=_layer(BURN_HEAD_NDARRAY),
        weight={"code_division": "reciprocal_multiply"},
        first_stage="weight.codes",
    ),
    HistoryCase(
        name="burn-4-stale-block-scales",
        origin="burn, 8.3-4",
        told="ndarray flips the codes of a tensor with blocks, and leaves the scales where they were",
        dtype=FP32,
        scheme=_layer(BURN_HEAD_NDARRAY),
        spoiled={"weight.scale": lambda scale: scale.flip(0)},
        first_stage="weight.scale",
    ),
    HistoryCase(
        name="burn-6-whose-scheme",
        origin="burn, 8.3-6",
        told="two quantized sides: one backend goes on with the left scheme, Q8S, the other with the right one, Q8F",
        dtype=FP32,
        scheme=_layer(BURN_HEAD_NDARRAY, act=True),
        activation={"qmin": -128},
        first_stage="input.scale",
    ),
    HistoryCase(
        name="burn-7-zero-scale",
        origin="burn, 8.3-7",
        told="an all-zero block: ndarray stores 0 and reads 0.1, flex stores the smallest normal",
        dtype=FP32,
        scheme=_layer(BURN_HEAD_NDARRAY),
        weight={"zero_scale": "min_positive", "zero_scale_at": "stored"},
        first_stage="weight.scale",
    ),
    HistoryCase(
        name="burn-8-doubled-beyond-fp16",
        origin="burn, 8.3-8",
        told="2a overflows in fp16, in which the Quantizer computes; flex's own path widens first",
        dtype=FP16,
        scheme=_layer(BURN_HEAD_FLEX, scale=FP32),
        weight={"qparam_dtype": "input"},
        first_stage="weight.scale",
    ),
)

_MENDED: Final = (
    HistoryCase(
        name="burn-fixed-clipped-at-128",
        origin="burn, 8.1-3",
        told="LibTorch's static quantization clips at -128, and rounds half to even",
        dtype=FP32,
        scheme=_layer(BURN_3042, qmin=-128),
        weight={"qmin": -127},
        first_stage="weight.scale",
    ),
    HistoryCase(
        name="burn-fixed-nearest-scale",
        origin="burn#5261",
        told="a scale rounded to nearest into its dtype clips the block's maximum; since then it is rounded up",
        dtype=FP32,
        scheme=_layer(BURN_HEAD_NDARRAY, scale=BF16),
        weight={"scale_rounding": "nearest_even"},
        first_stage="weight.scale",
    ),
    HistoryCase(
        name="burn-fixed-raw-scale",
        origin="burn#5253",
        told="codes were made by the fp32 scale and read back by the narrow one that was stored",
        dtype=FP32,
        scheme=_layer(BURN_HEAD_NDARRAY, scale=BF16),
        weight={"code_scale": "unrounded"},
        first_stage="weight.codes",
    ),
)

BURN: Final = (*_OPEN, *_MENDED)
