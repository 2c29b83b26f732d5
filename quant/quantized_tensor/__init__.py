"""A quantized tensor that torch computes with: layout moves codes, computing follows the scheme's propagation.

Which operation does which is a table, `quant.quantized_tensor.contract`, after Burn's #3042 and its later epochs.
"""

from quant.quantized_tensor.contract import BURN_3042, BURN_HEAD, BURN_HEAD_GPU, CONTRACTS, ENGINE, Contract, Kind
from quant.quantized_tensor.tensor import QuantizedTensor

__all__ = ["BURN_3042", "BURN_HEAD", "BURN_HEAD_GPU", "CONTRACTS", "ENGINE", "Contract", "Kind", "QuantizedTensor"]
