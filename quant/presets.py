"""Schemes people know by name. Every keyword is optional: what is not given is the rule set's own declared default."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch

from quant.burn.presets import burn_3042 as burn_3042
from quant.burn.presets import burn_head as burn_head
from quant.eps import EpsOf, EpsProperty, PropertyDtype
from quant.granularity import Granularity, PerAxis, PerGroup, PerTensor, PerToken
from quant.mapping import Extent, Mapping, ZeroPointDomain
from quant.product_rules import ProductRules
from quant.rule_sets import PRODUCT_RULE_SETS, RULE_SETS, narrow_scales, rules_named, stretched
from quant.rules import Rules
from quant.scheme import QuantScheme, TensorScheme
from quant.statistic import MinMax, Statistic

FLOAT32_EPS = EpsOf(EpsProperty.EPS, PropertyDtype.FLOAT32)
BFLOAT16_EPS = EpsOf(EpsProperty.EPS, PropertyDtype.BFLOAT16)
MIN_MAX = MinMax()
ScaleDtype = torch.dtype | str


def signed_grid(bits: int) -> tuple[int, int]:
    """(qmin, qmax) = (-2**(bits-1), 2**(bits-1) - 1)."""
    return -(2 ** (bits - 1)), 2 ** (bits - 1) - 1


def stretched_grid(bits: int) -> tuple[float, float]:
    """(qmin, qmax) = -+(2**(bits-1) - 1/2)."""
    return 0.5 - 2 ** (bits - 1), 2 ** (bits - 1) - 0.5


def intx_weight_only(
    *,
    bits: int = 8,
    group_size: int | None = None,
    mapping: Mapping = Mapping.SYMMETRIC,
    scale_dtype: ScaleDtype | None = None,
    weight_eps: float | EpsOf | None = None,
    rules: Rules | str = "engine",
) -> QuantScheme:
    """Signed integer weights of 1 to 8 bits, float activations; group_size=None means one scale per channel."""
    tensor_rules, product = _resolve_rules(rules)
    weight = _weight(bits, group_size, mapping, scale_dtype, weight_eps, tensor_rules)
    return QuantScheme(weight=weight, product=product)


def int8_dynamic_intx_weight(
    *,
    bits: int = 4,
    group_size: int | None = 32,
    mapping: Mapping = Mapping.SYMMETRIC,
    activation_mapping: Mapping = Mapping.ASYMMETRIC,
    scale_dtype: ScaleDtype | None = None,
    activation_scale_dtype: ScaleDtype | None = None,
    weight_eps: float | EpsOf | None = None,
    activation_eps: float | EpsOf | None = None,
    rules: Rules | str = "engine",
) -> QuantScheme:
    """Signed integer weights of 1 to 8 bits, int8 activations with a scale per token chosen at each forward.

    Asymmetric activations use [-128, 127] with a zero point, symmetric ones [-127, 127].
    """
    tensor_rules, product = _resolve_rules(rules)
    symmetric = activation_mapping != Mapping.ASYMMETRIC
    activation = TensorScheme(
        bits=8,
        qmin=-127 if symmetric else -128,
        qmax=127,
        granularity=PerToken(),
        mapping=activation_mapping,
        zero_point_dtype=torch.int8,
        scale_dtype=_or(activation_scale_dtype, tensor_rules.default_scale_dtype),
        eps=_or(activation_eps, tensor_rules.default_eps),
        rules=tensor_rules,
    )
    weight = _weight(bits, group_size, mapping, scale_dtype, weight_eps, tensor_rules)
    return QuantScheme(weight=weight, activation=activation, product=product)


def int8_static_intx_weight(
    *,
    bits: int = 4,
    group_size: int | None = 32,
    mapping: Mapping = Mapping.SYMMETRIC,
    activation_mapping: Mapping = Mapping.ASYMMETRIC,
    statistic: Statistic = MIN_MAX,
    scale_dtype: ScaleDtype | None = None,
    activation_scale_dtype: ScaleDtype | None = None,
    weight_eps: float | EpsOf | None = None,
    activation_eps: float | EpsOf | None = None,
    rules: Rules | str = "engine",
) -> QuantScheme:
    """int8_dynamic_intx_weight with one scale for the whole activation, from batches observed before convert."""
    dynamic = int8_dynamic_intx_weight(
        bits=bits,
        group_size=group_size,
        mapping=mapping,
        activation_mapping=activation_mapping,
        scale_dtype=scale_dtype,
        activation_scale_dtype=activation_scale_dtype,
        weight_eps=weight_eps,
        activation_eps=activation_eps,
        rules=rules,
    )
    assert dynamic.activation is not None
    return replace(dynamic, activation=replace(dynamic.activation, granularity=PerTensor(), statistic=statistic))


def int8_dynamic_int4_weight(
    *,
    group_size: int | None = 32,
    mapping: Mapping = Mapping.SYMMETRIC,
    scale_dtype: ScaleDtype | None = None,
    activation_scale_dtype: ScaleDtype = torch.float32,
    weight_eps: float | EpsOf | None = None,
    activation_eps: float | EpsOf = FLOAT32_EPS,
    rules: Rules | str = "engine",
) -> QuantScheme:
    """8da4w: int4 weights per group, int8 asymmetric activations per token whose scale is fp32 with eps 2**-23."""
    return int8_dynamic_intx_weight(
        bits=4,
        group_size=group_size,
        mapping=mapping,
        scale_dtype=scale_dtype,
        activation_scale_dtype=activation_scale_dtype,
        weight_eps=weight_eps,
        activation_eps=activation_eps,
        rules=rules,
    )


def xnnpack_recipe(
    *,
    group_size: int | None = 32,
    scale_dtype: ScaleDtype = torch.bfloat16,
    activation_scale_dtype: ScaleDtype = torch.float32,
    weight_eps: float | EpsOf = BFLOAT16_EPS,
    activation_eps: float | EpsOf = FLOAT32_EPS,
    rules: Rules | str = "engine",
) -> QuantScheme:
    """The recipe XNNPACK deployments train with: 8da4w, weight scales in bf16 with eps 2**-7, both eps pinned."""
    return int8_dynamic_int4_weight(
        group_size=group_size,
        scale_dtype=scale_dtype,
        activation_scale_dtype=activation_scale_dtype,
        weight_eps=weight_eps,
        activation_eps=activation_eps,
        rules=rules,
    )


def int4_weight_only(
    *,
    group_size: int | None = 32,
    scale_dtype: ScaleDtype | None = None,
    zero_point_dtype: ScaleDtype = "model",
    weight_eps: float | EpsOf = 1e-6,
    rules: Rules | str = "engine",
) -> QuantScheme:
    """Tinygemm's int4 weights: codes 0..15 with a float zero point min + 8 * scale, range not widened to zero."""
    tensor_rules, product = _resolve_rules(rules)
    weight = TensorScheme(
        bits=4,
        qmin=0,
        qmax=15,
        granularity=_weight_granularity(group_size),
        mapping=Mapping.ASYMMETRIC,
        preserve_zero=False,
        zero_point_domain=ZeroPointDomain.FLOAT,
        zero_point_dtype=zero_point_dtype,
        scale_dtype=_or(scale_dtype, tensor_rules.default_scale_dtype),
        eps=weight_eps,
        rules=tensor_rules,
    )
    return QuantScheme(weight=weight, product=product)


def int4_weight_only_embedding(
    *,
    group_size: int | None = 32,
    scale_dtype: ScaleDtype = torch.float32,
    weight_eps: float | EpsOf | None = None,
    rules: Rules | str = "engine",
) -> QuantScheme:
    """Symmetric int4 tables in groups, scales in fp32 whatever the model's dtype, rows looked up in the model's."""
    return intx_weight_only(bits=4, group_size=group_size, scale_dtype=scale_dtype, weight_eps=weight_eps, rules=rules)


def stretched_intx_weight_only(
    *,
    bits: int = 4,
    group_size: int | None = 32,
    scale_dtype: ScaleDtype | None = None,
    zero_point_dtype: ScaleDtype = "model",
    weight_eps: float | EpsOf | None = None,
    rules: Rules | str = "engine",
) -> QuantScheme:
    """PARQ's weights of 1 to 8 bits: levels are odd multiples of scale / 2, the range min(bits * mean|w|, max|w|)."""
    tensor_rules, product = _resolve_rules(rules)
    qmin, qmax = stretched_grid(bits)
    weight = TensorScheme(
        bits=bits,
        qmin=qmin,
        qmax=qmax,
        granularity=_weight_granularity(group_size),
        mapping=Mapping.STRETCHED,
        extent=Extent.CAPPED_ABS_MEAN,
        zero_point_dtype=zero_point_dtype,
        scale_dtype=_or(scale_dtype, tensor_rules.default_scale_dtype),
        eps=_or(weight_eps, tensor_rules.default_eps),
        rules=stretched(tensor_rules),
    )
    return QuantScheme(weight=weight, product=product)


def two_level_intx_weight_only(
    *,
    bits: int = 4,
    group_size: int = 32,
    scale_dtype: ScaleDtype = torch.float8_e4m3fn,
    weight_eps: float | EpsOf | None = None,
    rules: Rules | str = "engine",
) -> QuantScheme:
    """Signed weights in groups, whose scales are kept in eight bits, or fp16, beside one fp32 scale of the tensor."""
    own = intx_weight_only(bits=bits, group_size=group_size, weight_eps=weight_eps, rules=rules)
    levels: dict[str, Any] = {"scale_dtype": scale_dtype, "global_scale_dtype": torch.float32}
    return replace(own, weight=replace(own.weight, **levels, rules=narrow_scales(own.weight.rules)))


def ternary_weight_only(
    *,
    group_size: int | None = None,
    scale_dtype: ScaleDtype | None = None,
    weight_eps: float | EpsOf | None = None,
    rules: Rules | str = "engine",
) -> QuantScheme:
    """BitNet's weights: -1, 0 or 1 times the mean magnitude of the tensor, or of each group."""
    own = intx_weight_only(bits=2, scale_dtype=scale_dtype, weight_eps=weight_eps, rules=rules)
    granularity = PerTensor() if group_size is None else PerGroup(group_size)
    return replace(own, weight=replace(own.weight, qmin=-1, granularity=granularity, extent=Extent.MEAN))


def _weight(
    bits: int,
    group_size: int | None,
    mapping: Mapping,
    scale_dtype: ScaleDtype | None,
    eps: float | EpsOf | None,
    rules: Rules,
) -> TensorScheme:
    qmin, qmax = signed_grid(bits)
    return TensorScheme(
        bits=bits,
        qmin=qmin,
        qmax=qmax,
        granularity=_weight_granularity(group_size),
        mapping=mapping,
        zero_point_dtype=torch.int8,
        scale_dtype=_or(scale_dtype, rules.default_scale_dtype),
        eps=_or(eps, rules.default_eps),
        rules=rules,
    )


def _weight_granularity(group_size: int | None) -> Granularity:
    return PerAxis(0) if group_size is None else PerGroup(group_size)


def _or(given: Any, default: Any) -> Any:
    return default if given is None else given


def _resolve_rules(rules: Rules | str) -> tuple[Rules, ProductRules]:
    """A named set, or given rules with the product rules of the named set whose defaults they share."""
    if isinstance(rules, str):
        return rules_named(rules)
    name = "engine" if rules.refuse_lossy else "torchao"
    for known, value in RULE_SETS.items():
        name = known if value == rules else name
    return rules, PRODUCT_RULE_SETS[name]
