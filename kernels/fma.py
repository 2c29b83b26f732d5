"""fma(a, b, c) = R_float32(a * b + c), rounded once, from plain float64 operations."""

import torch
from torch import Tensor

from kernels.round_to_odd import add_to_odd


def fma(a: Tensor, b: Tensor, c: Tensor) -> Tensor:
    """fma(a, b, c) = R(a * b + c) in float32, bit for bit what a fused instruction gives (a NaN's payload aside).

    Shapes broadcast; all three float32, else ValueError. 1. The product of two 24-bit numbers is exact in float64.
    2. The sum is rounded to odd in float64 (53 >= 24 + 2). 3. One rounding to float32.
    """
    for name, operand in (("a", a), ("b", b), ("c", c)):
        if operand.dtype is not torch.float32:
            raise ValueError(f"{name} is {operand.dtype}, but fma takes float32 only: widen 16-bit operands first.")
    product = a.to(torch.float64) * b.to(torch.float64)
    return add_to_odd(product, c.to(torch.float64)).to(torch.float32)
