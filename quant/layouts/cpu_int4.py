"""The bytes of aten::_convert_weight_to_int4pack_for_cpu, which follow the instruction set of the machine that packs.

Rows are taken in blocks (64 for AVX512, 32 otherwise), each block k-major: for every k, half as many bytes as rows. In
a full block of a vector instruction set byte d holds row d in its low nibble and row d + half a block in its high one;
in a last block that is not full, and without vectors, byte j holds rows 2j and 2j + 1.
"""

from __future__ import annotations

from collections.abc import Iterator
from types import MappingProxyType

import torch
from torch import Tensor

BLOCK = MappingProxyType({"avx512": 64, "avx2": 32, "scalar": 32})


def pack(codes: Tensor, order: str) -> Tensor:
    """uint8 [..., N, K/2] of uint8 codes [..., N, K], N a multiple of 16; `order` is avx512, avx2 or scalar.

    The bytes have no rows: ATen gives them that shape all the same.
    """
    n, k = codes.shape[-2:]
    parts = []
    for start, stop, halves in _blocks(n, order):
        columns = codes[..., start:stop, :].mT  # [..., K, rows]
        low, high = columns.chunk(2, dim=-1) if halves else (columns[..., 0::2], columns[..., 1::2])
        parts.append((low | high << 4).flatten(-2))
    packed: Tensor = torch.cat(parts, dim=-1).unflatten(-1, (n, k // 2))
    return packed


def unpack(packed: Tensor, order: str) -> Tensor:
    """uint8 codes [..., N, K], the inverse of `pack`."""
    n, k = packed.shape[-2], 2 * packed.shape[-1]
    flat = packed.flatten(-2)
    parts = []
    for start, stop, halves in _blocks(n, order):
        rows = stop - start
        bytes_ = flat[..., start * k // 2 : stop * k // 2].unflatten(-1, (k, rows // 2))
        low, high = bytes_ & 15, bytes_ >> 4
        columns = torch.cat((low, high), dim=-1) if halves else torch.stack((low, high), dim=-1).flatten(-2)
        parts.append(columns.mT)
    return torch.cat(parts, dim=-2)


def _blocks(n: int, order: str) -> Iterator[tuple[int, int, bool]]:
    """(first row, row after the last, whether a byte joins two halves of the block) of every block."""
    size = BLOCK[order]
    for start in range(0, n, size):
        stop = min(start + size, n)
        yield start, stop, order != "scalar" and stop - start == size
