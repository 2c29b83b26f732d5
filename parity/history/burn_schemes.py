"""The schemes that Burn's cases start from: its symmetric values in blocks or by the tensor, with an exact product."""

from __future__ import annotations

from typing import Any

from parity.history.schemes import FP32
from quant import PerGroup, PerTensor, QuantScheme, TensorScheme, ZeroPointDomain
from quant.granularity import Granularity
from quant.rule_sets import ENGINE_PRODUCT
from quant.rules import Rules


def burn_layer(
    rules: Rules, *, bits: int = 8, qmin: int = -127, blocks: bool = True, scale: Any = FP32, act: bool = False
) -> QuantScheme:
    """Q8S in blocks of 32 unless it is said; the rules as they are, without refusals."""
    computed = rules.with_values(nan_code="zero")  # Burn panics at a NaN, and its backends are compared on the rest
    weight = _tensor(computed, bits, qmin, PerGroup(32) if blocks else PerTensor(), scale)
    activation = _tensor(computed, 8, -127, PerTensor(), scale) if act else None
    return QuantScheme(weight=weight, activation=activation, product=ENGINE_PRODUCT)


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
