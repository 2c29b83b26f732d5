"""A quantized tensor that torch computes with: layout moves codes, computing follows the scheme's propagation.

Which operation does which is a table, `quant.quantized_tensor.kinds`, after Burn's #3042; what its epochs and backends
decided differently is a `Contract`.
"""

from quant.quantized_tensor.contract import (
    BURN_3042,
    BURN_3042_NDARRAY,
    BURN_HEAD,
    BURN_HEAD_FLEX,
    BURN_HEAD_GPU,
    BURN_HEAD_NDARRAY,
    CONTRACTS,
    ENGINE,
    Contract,
)
from quant.quantized_tensor.file import load_tensors, save_tensors
from quant.quantized_tensor.kinds import Kind
from quant.quantized_tensor.tensor import QuantizedTensor

__all__ = [
    "BURN_3042",
    "BURN_3042_NDARRAY",
    "BURN_HEAD",
    "BURN_HEAD_FLEX",
    "BURN_HEAD_GPU",
    "BURN_HEAD_NDARRAY",
    "CONTRACTS",
    "ENGINE",
    "Contract",
    "Kind",
    "QuantizedTensor",
    "load_tensors",
    "save_tensors",
]
