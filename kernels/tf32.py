"""round_to_tf32(x) = x rounded to TF32's 11 significant bits, ties to even, still stored as float32."""

import torch
from torch import Tensor

_DROPPED = 13  # float32 keeps 23 mantissa bits, TF32 keeps 10


def round_to_tf32(x: Tensor) -> Tensor:
    """round_to_tf32(x): float32 of any shape in and out; infinities and NaN are kept, overflow becomes infinity.

    Tensor cores may cut instead of round; what a library does with "high" float32 matmul precision is its own choice,
    and this is the one stated here. Raises ValueError for another dtype.
    """
    if x.dtype is not torch.float32:
        raise ValueError(f"x is {x.dtype}, but TF32 is a cut of float32.")
    bits = x.view(torch.int32)
    odd = (bits >> _DROPPED) & 1
    rounded = (bits + (2 ** (_DROPPED - 1) - 1) + odd) >> _DROPPED << _DROPPED
    return torch.where(x.isfinite(), rounded.view(torch.float32), x)
