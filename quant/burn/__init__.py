"""Burn's quantized tensors in the engine's terms: schemes both ways, named presets, and the bytes they travel in."""

from quant.burn.conversion import from_quant_scheme, tensor_scheme, to_quant_scheme
from quant.burn.presets import burn_3042, burn_3042_half, burn_head, burn_head_flex, burn_head_gpu, burn_head_ndarray
from quant.burn.scheme import Accumulator, BlockLevel, BurnScheme, Calibration, Level, Mode, TensorLevel
from quant.burn.stored_bytes import from_bytes, to_bytes
from quant.burn.values import Value

__all__ = [
    "Accumulator",
    "BlockLevel",
    "BurnScheme",
    "Calibration",
    "Level",
    "Mode",
    "TensorLevel",
    "Value",
    "burn_3042",
    "burn_3042_half",
    "burn_head",
    "burn_head_flex",
    "burn_head_gpu",
    "burn_head_ndarray",
    "from_bytes",
    "from_quant_scheme",
    "tensor_scheme",
    "to_bytes",
    "to_quant_scheme",
]
