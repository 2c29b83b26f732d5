"""code_product(x, w)[m, n] = sum over k of x[m, k] * w[n, k], in integers, as an int32 accumulator holds it."""

import torch
from torch import Tensor

_INT32_LIMIT = 2**31 - 1


def code_product(x: Tensor, w: Tensor) -> Tensor:
    """code_product(x, w) = x @ w.T over integer codes, exact, as int32.

    `x`: [..., M, K] and `w`: [..., N, K] of integer dtypes (zero points already subtracted), leading dimensions
    broadcast. A float64 product carries it: every partial sum is an integer of at most K * max|x| * max|w|. Raises
    ValueError when that bound exceeds 2^53, or when a sum does not fit int32, where an accumulator would wrap.
    """
    for name, codes in (("x", x), ("w", w)):
        if codes.is_floating_point() or codes.dtype is torch.bool:
            raise ValueError(f"{name} is {codes.dtype}, but codes are integers: cast them to int8, int16 or int32.")
    bound = x.shape[-1] * _largest(x) * _largest(w)
    if bound > 2**53:
        raise ValueError(f"K * max|x| * max|w| is {bound}, beyond 2^53, where float64 no longer holds every integer.")
    product = x.to(torch.float64) @ w.to(torch.float64).mT
    if bound > _INT32_LIMIT and product.numel():
        reached = int(product.abs().max())
        if reached > _INT32_LIMIT:
            raise ValueError(f"A sum of code products reaches {reached}, but int32 ends at {_INT32_LIMIT}.")
    return product.to(torch.int32)


def _largest(codes: Tensor) -> int:
    """max|codes|, or a bound that the dtype alone gives (8 bits), which costs no pass over the data."""
    if codes.dtype in (torch.int8, torch.uint8):
        return 2 ** (7 if codes.dtype is torch.int8 else 8)
    if not codes.numel():
        return 0
    low, high = torch.aminmax(codes)
    return max(-int(low), int(high))
