"""Burn's schemes under their names: what a layer of each backend computes."""

from __future__ import annotations

import torch

from quant.burn.conversion import to_quant_scheme
from quant.burn.scheme import Accumulator, BurnScheme, Level, TensorLevel
from quant.burn.values import Value
from quant.propagation import Propagation
from quant.scheme import QuantScheme

TENSOR = TensorLevel()


def burn_3042(*, propagation: Propagation = Propagation.INHIBIT) -> QuantScheme:
    """The default of pull request #3042: int8 in [-127, 127], one scale a tensor, products of codes summed in fp32."""
    return to_quant_scheme(BurnScheme(propagation=propagation))


def burn_3042_half(*, propagation: Propagation = Propagation.INHIBIT) -> QuantScheme:
    """burn_3042 whose products are summed in fp16."""
    return to_quant_scheme(BurnScheme(accumulator=Accumulator.HALF, propagation=propagation))


def burn_head_ndarray(value: Value = Value.Q8F, *, level: Level = TENSOR) -> QuantScheme:
    """Burn's ndarray backend in August 2026, whose default value reaches -128."""
    return to_quant_scheme(_head(value, level), "burn_head_ndarray")


def burn_head_flex(value: Value = Value.Q8F, *, level: Level = TENSOR) -> QuantScheme:
    """Burn's flex backend in August 2026."""
    return to_quant_scheme(_head(value, level), "burn_head_flex")


def burn_head_gpu(value: Value = Value.Q8F, *, level: Level = TENSOR) -> QuantScheme:
    """Burn's CubeCL backends in August 2026."""
    return to_quant_scheme(_head(value, level), "burn_head_gpu")


def _head(value: Value, level: Level) -> BurnScheme:
    return BurnScheme(value=value, level=level, scale_dtype=torch.float32)
