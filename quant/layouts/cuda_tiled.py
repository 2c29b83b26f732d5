"""The words of aten::_convert_weight_to_int4pack on CUDA: int32 [N/8, K/(16 t), 32, t/2], t being inner_k_tiles.

A word is what one lane of a warp feeds to two 16-wide tensor-core steps: lane l of tile (n, k) holds row 8 n + l/4 and,
from its least nibble up, columns k0, k0 + 8, k0 + 16, k0 + 24 and then each of these plus one, k0 = 2 (l mod 4) columns
into the pair of steps.
"""

from __future__ import annotations

from functools import lru_cache

import torch
from torch import Tensor

_FROM_LEAST = (0, 8, 16, 24, 1, 9, 17, 25)


def pack(codes: Tensor, inner_k_tiles: int) -> Tensor:
    """int32 [..., N/8, K/(16 t), 32, t/2] of uint8 codes [..., N, K]; N a multiple of 8, K of 16 t, t is 2, 4 or 8."""
    n, k = codes.shape[-2:]
    places = _places(n, k, inner_k_tiles).to(codes.device)
    nibbles = codes.flatten(-2)[..., places].to(torch.int64)
    shifts = torch.arange(0, 32, 4, device=codes.device)
    words = (nibbles << shifts).sum(-1)
    return torch.where(words < 2**31, words, words - 2**32).to(torch.int32)  # the same 32 bits


def unpack(packed: Tensor) -> Tensor:
    """uint8 codes [..., N, K], the inverse of `pack`."""
    tiles_n, tiles_k, _, pairs = packed.shape[-4:]
    n, k = 8 * tiles_n, 32 * pairs * tiles_k
    shifts = torch.arange(0, 32, 4, device=packed.device)
    nibbles = (packed.to(torch.int64).unsqueeze(-1) >> shifts & 15).to(torch.uint8)
    places = _places(n, k, 2 * pairs).to(packed.device).flatten()
    codes = torch.empty((*packed.shape[:-4], n * k), dtype=torch.uint8, device=packed.device)
    codes[..., places] = nibbles.flatten(-5)
    unpacked: Tensor = codes.unflatten(-1, (n, k))
    return unpacked


@lru_cache(maxsize=64)
def _places(n: int, k: int, inner_k_tiles: int) -> Tensor:
    """Flat places in [N, K], int64 [N/8, K/(16 t), 32, t/2, 8]."""
    lane = torch.arange(32).reshape(1, 1, 32, 1, 1)
    row = 8 * torch.arange(n // 8).reshape(-1, 1, 1, 1, 1) + lane // 4
    step = 16 * inner_k_tiles * torch.arange(k // (16 * inner_k_tiles)).reshape(1, -1, 1, 1, 1)
    pair = 32 * torch.arange(inner_k_tiles // 2).reshape(1, 1, 1, -1, 1)
    return row * k + step + pair + 2 * (lane % 4) + torch.tensor(_FROM_LEAST)
