"""Named rule sets: each a short difference from another, with the reason beside it or in docs/decisions."""

from __future__ import annotations

from dataclasses import replace
from types import MappingProxyType

import torch

from quant.burn_rules import BURN_RULE_SETS
from quant.decisions import Accumulate, BiasAdd, GradientProduct
from quant.eps import EpsOf, EpsProperty, PropertyDtype
from quant.product_rules import ProductRules
from quant.rules import Rules

# torchao 0.18 on CPU eager: the first value of every field.
TORCHAO = Rules()

# CUDA and XPU eager compute tensor / number as tensor * (1 / number).
TORCHAO_CUDA = TORCHAO.with_values(scalar_division="reciprocal_multiply")

# torch.compile keeps 16-bit chains in fp32: three decisions at once.
INDUCTOR = TORCHAO.with_values(qparam_dtype="float32", code_dtype="float32", reciprocal_dtype="code")

# No step depends on promotion, on a device's scalar division, on contraction, or on a compiler keeping a narrow cast.
ENGINE = replace(
    TORCHAO.with_values(
        mean_accumulate="exact",
        qparam_dtype="float32",
        zero_point_scale="stored",
        code_dtype="float32",
        code_division="divide",
        clamp_bound="exact",
        code_cast="integer",
        subtract_dtype="float32",
        rescale_dtype="float32",
        float_rescale_dtype="float64",  # there code * scale is exact, so a fused addition changes no bit
        rescale_intermediate="keep",
        gradient_product="identity",
        float_gradient_product="identity",
        float64_cast="once",
    ),
    default_eps=EpsOf(EpsProperty.SMALLEST_NORMAL, PropertyDtype.NARROWER_SCALE),
    default_scale_dtype=torch.float32,
    refuse_lossy=True,
)

# torchao's fake quantizer of asymmetric weights: tinygemm's zero point, which is a value, becomes an integer code.
TORCHAO_ASYMMETRIC_QAT = TORCHAO.with_values(zero_point_rule="from_value")

# torchao's PARQ trains weights that lie on the grid, read back from stored codes; its optimizer hands their gradients
# to the latent ones.
PARQ = TORCHAO.with_values(
    code_cast="integer", gradient_mask="none", gradient_product="identity", float_gradient_product="identity"
)

# ATen's int4 product on CPU (AVX512): (q - 8) * s + z fused in fp32, and the weight never rounded to the model's dtype.
# The kernel is given integers, so prepare makes them too.
TINYGEMM_CPU = TORCHAO.with_values(
    float_rescale_dtype="float32",
    rescale_intermediate="keep",
    rescale_fusion="fma",
    operand_dtype="float32",
    code_cast="integer",
)

# The same under AVX2 with bf16: the offset z - 8 * s first, then q * s added to it, each fused.
TINYGEMM_CPU_AVX2 = TINYGEMM_CPU.with_values(rescale_fusion="fma_offset")

# ATen's int4 product on CUDA: one rounding of (q - 8) * s + z to bf16, in whatever width the product is held exactly.
TINYGEMM_CUDA = TORCHAO.with_values(float_rescale_dtype="float64", rescale_intermediate="keep", float64_cast="once")

RULE_SETS = MappingProxyType(
    {
        "engine": ENGINE,
        "torchao": TORCHAO,
        "torchao_cuda": TORCHAO_CUDA,
        "torchao_asymmetric_qat": TORCHAO_ASYMMETRIC_QAT,
        "inductor": INDUCTOR,
        "parq": PARQ,
        "tinygemm_cpu": TINYGEMM_CPU,
        "tinygemm_cpu_avx2": TINYGEMM_CPU_AVX2,
        "tinygemm_cuda": TINYGEMM_CUDA,
        **BURN_RULE_SETS,
    }
)

# The exact sum of the exact products has no order, so no library, batch size or thread count can move it.
ENGINE_PRODUCT = ProductRules(accumulate=Accumulate.EXACT)

# One fused step after another along k; the bias is the caller's, added to the output.
TINYGEMM_CPU_PRODUCT = ProductRules(accumulate=Accumulate.FLOAT32_SEQUENTIAL_FMA, bias_add=BiasAdd.AFTER_OUTPUT_CAST)
TINYGEMM_CUDA_PRODUCT = ProductRules(bias_add=BiasAdd.AFTER_OUTPUT_CAST)

PRODUCT_RULE_SETS = MappingProxyType(
    dict.fromkeys(RULE_SETS, ProductRules())
    | {
        "engine": ENGINE_PRODUCT,
        "tinygemm_cpu": TINYGEMM_CPU_PRODUCT,
        "tinygemm_cpu_avx2": TINYGEMM_CPU_PRODUCT,
        "tinygemm_cuda": TINYGEMM_CUDA_PRODUCT,
    }
)


def stretched(rules: Rules) -> Rules:
    """The rules as a stretched grid needs them: x is limited to +-(s * qmax), divided by s, and moved by the zero point
    before it is rounded. eps bounds the range, as in torchao's PARQ, except where lossy schemes are refused: a range at
    its bound gives a scale that may vanish.
    """
    divided = rules.gradient_product is GradientProduct.SCALE_TIMES_RECIPROCAL
    return rules.with_values(
        eps_target=rules.eps_target if rules.refuse_lossy else "range",
        eps_order=rules.eps_order if rules.refuse_lossy else "before_storage",
        code_division="divide",
        zero_point_add="before_round",
        code_clamp="input_limits",
        gradient_product="scale_over_scale" if divided else rules.gradient_product,
    )


def narrow_scales(rules: Rules) -> Rules:
    """The rules as scales of eight bits, or on two levels, need them: rounded up, so that no maximum lies beyond its
    grid, with the largest number of their dtype above all others.
    """
    return rules.with_values(eps_order="before_storage", scale_rounding="up", scale_overflow="saturate")


def rules_named(name: str) -> tuple[Rules, ProductRules]:
    """The rules and the product rules of a named set; ValueError lists the names there are."""
    if name not in RULE_SETS:
        raise ValueError(f"there is no rule set {name!r}; the named sets are {', '.join(RULE_SETS)}")
    return RULE_SETS[name], PRODUCT_RULE_SETS[name]
