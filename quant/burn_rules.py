"""How each of Burn's backends carries out a symmetric scheme: as pull request #3042 was merged, and as of August 2026.

Read from its sources; what was not found there is named in docs/decisions/030-burn.md.
"""

from __future__ import annotations

from dataclasses import replace
from types import MappingProxyType

import torch

from quant.decisions import Accumulate, BiasAdd, ProductOperands, ProductOutput
from quant.product_rules import ProductRules
from quant.rules import Rules

# ndarray at the merge: 2a / (b - a) in the tensor's dtype without any eps, x / s in fp32, halves away from zero.
BURN_3042 = Rules().with_values(
    symmetric_scale="doubled_over_span",
    eps_target="none",
    zero_scale="tenth",
    zero_scale_at="use",
    code_dtype="float32",
    code_division="divide",
    code_rounding="half_away",
    code_cast="integer",
    nan_code="raise",
    subtract_dtype="float32",
    rescale_dtype="float32",
    gradient_product="identity",
    float_gradient_product="identity",
)

# Scales have a dtype of their own, fp32 unless it is said, and are rounded up to it, so that no maximum is clipped.
BURN_HEAD_NDARRAY = replace(
    BURN_3042.with_values(scale_rounding="up", scale_overflow="saturate"), default_scale_dtype=torch.float32
)

# flex widens its input first, multiplies by a reciprocal taken once in fp32, and stores no scale that is zero.
BURN_HEAD_FLEX = BURN_HEAD_NDARRAY.with_values(
    qparam_dtype="float32",
    zero_scale="min_positive",
    zero_scale_at="stored",
    code_division="reciprocal_multiply",
    reciprocal_dtype="code",
)

# CubeCL rounds as its devices do, halves to even, and divides 0 by 0; what becomes of that NaN is not known.
BURN_HEAD_GPU = BURN_HEAD_NDARRAY.with_values(
    zero_scale="keep", zero_scale_at="stored", code_rounding="half_even", nan_code="zero"
)

BURN_RULE_SETS = MappingProxyType(
    {
        "burn_3042": BURN_3042,
        "burn_head_ndarray": BURN_HEAD_NDARRAY,
        "burn_head_flex": BURN_HEAD_FLEX,
        "burn_head_gpu": BURN_HEAD_GPU,
    }
)

# The int8 kernel of #3042: products of codes one after another along k, the result in fp16 whatever the float dtype.
BURN_3042_FULL = ProductRules(
    product_operands=ProductOperands.CODES,
    accumulate=Accumulate.FLOAT32_SEQUENTIAL,
    bias_add=BiasAdd.AFTER_OUTPUT_CAST,
    product_output=ProductOutput.VIA_FLOAT16,
)
BURN_3042_HALF = BURN_3042_FULL.with_values(accumulate="float16_sequential")
