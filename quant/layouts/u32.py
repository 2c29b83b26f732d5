"""Codes in 32-bit words: code i of a word in its bits [i * bits, (i + 1) * bits), least first, in two's complement."""

from __future__ import annotations

import torch
from torch import Tensor


def pack(codes: Tensor, bits: int) -> Tensor:
    """int32 [..., ceil(K / (32 / bits))] of signed codes [..., K] of 2, 4 or 8 bits; the last word is filled with 0."""
    a_word = 32 // bits
    missing = -codes.shape[-1] % a_word
    fields = torch.nn.functional.pad(codes.to(torch.int64) & (1 << bits) - 1, (0, missing)).unflatten(-1, (-1, a_word))
    words = (fields << torch.arange(0, 32, bits, device=codes.device)).sum(-1)
    return torch.where(words < 2**31, words, words - 2**32).to(torch.int32)


def unpack(words: Tensor, bits: int, count: int) -> Tensor:
    """int8 codes [..., count], the inverse of `pack`: the filling is dropped, the highest bit of a code is its sign."""
    shifts = torch.arange(0, 32, bits, device=words.device)
    fields = (words.to(torch.int64).unsqueeze(-1) >> shifts & (1 << bits) - 1).flatten(-2)[..., :count]
    return torch.where(fields >> bits - 1 == 1, fields - (1 << bits), fields).to(torch.int8)
