"""flush(x) = x, with subnormal values replaced by zero of the same sign."""

import torch
from torch import Tensor


def flush(x: Tensor) -> Tensor:
    """flush(x) = copysign(0, x) where |x| is below the smallest normal value of x's dtype, else x; NaN is kept.

    What a device set to flush subnormal results makes of the result of one operation.
    """
    return torch.where(x.abs() < torch.finfo(x.dtype).smallest_normal, torch.zeros_like(x).copysign(x), x)
