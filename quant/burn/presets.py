"""Burn's schemes under their names: what a layer of each backend computes."""

from __future__ import annotations

import torch

from quant.burn.conversion import MERGE, tensor_scheme, to_quant_scheme
from quant.burn.scheme import Accumulator, BurnScheme, Calibration, Level, TensorLevel
from quant.burn.values import Value
from quant.burn_rules import BURN_RULE_SETS
from quant.propagation import Propagation
from quant.rule_sets import rules_named
from quant.scheme import QuantScheme

TENSOR = TensorLevel()


def burn_3042(*, propagation: Propagation = Propagation.INHIBIT, rules: str = MERGE) -> QuantScheme:
    """The default of pull request #3042: int8 in [-127, 127], one scale a tensor, products of codes summed in fp32.

    Under a rule set that is not Burn's the product is that set's. Raises ValueError for an unknown one.
    """
    return _under(rules, BurnScheme(propagation=propagation), MERGE)


def burn_3042_half(*, propagation: Propagation = Propagation.INHIBIT) -> QuantScheme:
    """burn_3042 whose products are summed in fp16."""
    return to_quant_scheme(BurnScheme(accumulator=Accumulator.HALF, propagation=propagation))


def burn_head(
    value: Value = Value.Q8F,
    *,
    level: Level = TENSOR,
    scale_dtype: torch.dtype = torch.float32,
    global_dtype: torch.dtype | None = None,
    calibration: Calibration = Calibration.MIN_MAX,
    rules: str = "burn_head_ndarray",
) -> QuantScheme:
    """Burn in August 2026: full-range int8 with one fp32 scale a tensor, and weights alone are quantized.

    Raises ValueError for burn_3042, which had neither that range nor a dtype of scales, and for an unknown set.
    """
    scheme = BurnScheme(
        value=value, level=level, scale_dtype=scale_dtype, global_dtype=global_dtype, calibration=calibration
    )
    return _under(rules, scheme, "burn_head_ndarray")


def burn_head_ndarray(value: Value = Value.Q8F, *, level: Level = TENSOR) -> QuantScheme:
    """Burn's ndarray backend in August 2026, whose default value reaches -128."""
    return burn_head(value, level=level, rules="burn_head_ndarray")


def burn_head_flex(value: Value = Value.Q8F, *, level: Level = TENSOR) -> QuantScheme:
    """Burn's flex backend in August 2026."""
    return burn_head(value, level=level, rules="burn_head_flex")


def burn_head_gpu(value: Value = Value.Q8F, *, level: Level = TENSOR) -> QuantScheme:
    """Burn's CubeCL backends in August 2026."""
    return burn_head(value, level=level, rules="burn_head_gpu")


def _under(rules: str, scheme: BurnScheme, backend: str) -> QuantScheme:
    """What a rule set of Burn's makes of the scheme; another set carries out what `backend` would quantize."""
    if rules in BURN_RULE_SETS:
        return to_quant_scheme(scheme, rules)
    decisions, product = rules_named(rules)
    tensor = tensor_scheme(scheme, decisions)
    activation = None if to_quant_scheme(scheme, backend).activation is None else tensor
    return QuantScheme(weight=tensor, activation=activation, product=product, propagation=scheme.propagation)
