"""Codes of four bits in tiles of memory: a tile of 64 rows lies in one run of bytes, as int4_matmul reads it.

Byte (i, j) of a tile of 64 rows and 2*H columns holds column j in its low nibble and column H + j in its high one, so
that either half of the tile unpacks with one shift and no lane exchanges bits with another.
"""

from __future__ import annotations

import torch
from torch import Tensor

ROWS = 64


def half_width(group: int) -> int:
    """H, the columns of half a tile: 64, or 32 where groups are shorter than that.

    Raises ValueError for a group that no half divides.
    """
    if group % 32:
        raise ValueError(f"group is {group}, but a half of a tile lies within one group: groups are multiples of 32")
    return 64 if group % 64 == 0 else 32


def pack_tiles(codes: Tensor, half: int) -> Tensor:
    """uint8 [N/64, K/2H, 64, H] of integer codes [N, K] from 0 to 15. Raises ValueError for other shapes or codes."""
    n, k = codes.shape
    if n % ROWS or k % (2 * half):
        raise ValueError(f"codes are {n} x {k}; tiles need a multiple of {ROWS} rows and of {2 * half} columns")
    least, greatest = (int(end) for end in torch.aminmax(codes)) if codes.numel() else (0, 0)
    if least < 0 or greatest > 15:
        raise ValueError(f"codes run from {least} to {greatest}; a nibble holds 0 to 15")
    tiles = codes.to(torch.uint8).reshape(n // ROWS, ROWS, k // (2 * half), 2, half).permute(0, 2, 3, 1, 4)
    low, high = tiles[:, :, 0], tiles[:, :, 1]
    return (low | high << 4).contiguous()


def unpack_tiles(tiles: Tensor) -> Tensor:
    """uint8 codes [N, K], the inverse of pack_tiles."""
    blocks, columns, rows, half = tiles.shape
    codes = torch.stack((tiles & 15, tiles >> 4), dim=2)  # [N/64, K/2H, 2, 64, H]
    return codes.permute(0, 3, 1, 2, 4).reshape(blocks * rows, columns * 2 * half)
