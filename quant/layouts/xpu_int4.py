"""The words that XPU's int4 product reads: int32 [N, K/8], column 8c + i in nibble i of word c, least first."""

from __future__ import annotations

import torch
from torch import Tensor

from quant.layouts import nibbles


def pack(codes: Tensor) -> Tensor:
    """int32 [..., N, K/8] of uint8 codes [..., N, K], K a multiple of 8: low-first nibbles in words."""
    four = nibbles.pack(codes, low_first=True).unflatten(-1, (-1, 4)).to(torch.int64)
    words = (four << torch.arange(0, 32, 8, device=codes.device)).sum(-1)
    return torch.where(words < 2**31, words, words - 2**32).to(torch.int32)


def unpack(packed: Tensor) -> Tensor:
    """uint8 codes [..., N, K], the inverse of `pack`."""
    shifts = torch.arange(0, 32, 4, device=packed.device)
    return (packed.to(torch.int64).unsqueeze(-1) >> shifts & 15).to(torch.uint8).flatten(-2)
