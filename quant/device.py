"""What the declared device makes of one operation, and of a cast."""

import torch
from torch import Tensor

from kernels.flush import flush
from kernels.narrow import E4M3, narrow
from quant.decisions import Float64Cast, Subnormals
from quant.rules import Rules


def op(result: Tensor, rules: Rules) -> Tensor:
    """op(t) = t, or t with subnormals flushed to zero; every rounded operation of a scheme passes through it.

    No device computes in eight bits, so those of that format stay.
    """
    flushes = rules.subnormals is Subnormals.FLUSH and result.dtype is not E4M3
    return flush(result) if flushes else result


def cast(x: Tensor, dtype: torch.dtype, rules: Rules) -> Tensor:
    """cast(x, d) = op(R_d(x)), rounded twice from float64 to 16 bits where `float64_cast` says so; x itself if it is d.

    Both dtypes are floating. Widening is exact.
    """
    if x.dtype is dtype:
        return x
    if x.dtype is torch.float64 and rules.float64_cast is Float64Cast.THROUGH_FLOAT32:
        x = narrow(x, torch.float32)
    return op(narrow(x, dtype), rules)
