"""Two codes a byte, row by row: byte j of a row holds columns 2j and 2j + 1."""

from __future__ import annotations

import torch
from torch import Tensor


def pack(codes: Tensor, *, low_first: bool) -> Tensor:
    """uint8 [..., N, K/2] of uint8 codes [..., N, K]: the even column in the low nibble, or in the high one."""
    even, odd = codes[..., 0::2], codes[..., 1::2]
    return even | odd << 4 if low_first else even << 4 | odd


def unpack(packed: Tensor, *, low_first: bool) -> Tensor:
    """uint8 codes [..., N, K], the inverse of `pack`."""
    nibbles = (packed & 15, packed >> 4) if low_first else (packed >> 4, packed & 15)
    return torch.stack(nibbles, dim=-1).flatten(-2)
