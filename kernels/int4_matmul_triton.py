"""y = x @ dequantize(codes).T in bfloat16 with float32 accumulators: one class of instruction and one order for all M.

The weights are the rows of the product's left operand, so that every batch runs the same 64-row tensor-core
instruction, and K is cut into as many parts whatever M is: a row's bits depend neither on its neighbours nor on their
number. Partial sums are added in the order of K.

Weights are dequantized as declared, bit for bit: INT, R16((q - z) * s), with one rounding because q - z and s have few
bits; FLOAT, R16(fma(q - 8, s, z)).

Bound. Every product is exact in float32. A tensor core aligns the addends of one step to the largest and drops what
lies below its last place, at most one unit of 2^-23 an addend. So |y - exact| <= (K + PARTS) * 2^-23 * sum |x| |w|
before the last rounding, to bfloat16.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from kernels.int4_tiles import ROWS

PARTS = 4


def int4_matmul(x: Tensor, tiles: Tensor, scale: Tensor, zero_point: Tensor, *, float_domain: bool) -> Tensor:
    """bfloat16 [M, N] for `x` bfloat16 [M, K] and `tiles` of pack_tiles; `scale`, `zero_point` bfloat16 [K/group, N].

    An INT zero point is a code, as a bfloat16 number. All contiguous, on CUDA. Raises ValueError for other shapes.
    """
    m, k = x.shape
    n, half = tiles.shape[0] * ROWS, tiles.shape[3]
    groups = scale.shape[0]
    if k != tiles.shape[1] * 2 * half or scale.shape != (groups, n) or zero_point.shape != scale.shape or k % groups:
        raise ValueError(
            f"x is {tuple(x.shape)}, tiles {tuple(tiles.shape)}, scale {tuple(scale.shape)} and zero_point "
            f"{tuple(zero_point.shape)}; for tiles of N x K they are [M, K] and [K/group, N]"
        )
    parts = PARTS if (k // (2 * half)) % PARTS == 0 else 1
    rows, tokens, warps, stages = _shape(m)
    partial = torch.empty(parts, m, n, dtype=torch.float32, device=x.device)
    _products[(triton.cdiv(n, rows), triton.cdiv(m, tokens), parts)](
        x,
        tiles,
        scale,
        zero_point,
        partial,
        m,
        N=n,
        K=k,
        GROUP=k // groups,
        TILE=ROWS,
        ROWS=rows,
        HALF=half,
        TOKENS=tokens,
        STEPS=k // (2 * half) // parts,
        FLOAT=float_domain,
        num_warps=warps,
        num_stages=stages,
        enable_fp_fusion=False,
    )
    y = torch.empty(m, n, dtype=torch.bfloat16, device=x.device)
    _sum[(triton.cdiv(m * n, 1024),)](partial, y, m * n, PARTS=parts, TILE=1024, enable_fp_fusion=False)
    return y


def _shape(m: int) -> tuple[int, int, int, int]:
    """(rows of weights, tokens, warps, stages) of one program: what is fast, and moves no bit."""
    if m <= 16:
        return 64, 16, 4, 4
    if m <= 64:
        return 64, 64, 4, 4
    return LARGE


LARGE = (128, 256, 8, 3)


@triton.jit
def _dequantized(nibble, s, z, FLOAT: tl.constexpr):
    """bfloat16 weights of nibbles (int32): 128 + q is put together from bits, since it takes seven of them."""
    shifted = (nibble << 16 | 0x43000000).to(tl.float32, bitcast=True)
    if FLOAT:
        distance = (shifted - 136.0).to(tl.bfloat16)
        return tl.inline_asm_elementwise(
            "fma.rn.bf16x2 $0, $1, $2, $3;",
            "=r,r,r,r",
            [distance, s + tl.zeros_like(distance), z + tl.zeros_like(distance)],
            dtype=tl.bfloat16,
            is_pure=True,
            pack=2,
        )
    return ((shifted - (z.to(tl.float32) + 128.0)) * s.to(tl.float32)).to(tl.bfloat16)


@triton.jit
def _qparams(scale_ptr, zero_point_ptr, place, there):
    return tl.load(scale_ptr + place, mask=there, other=0.0), tl.load(zero_point_ptr + place, mask=there, other=0.0)


@triton.jit
def _products(
    x_ptr,
    tiles_ptr,
    scale_ptr,
    zero_point_ptr,
    partial_ptr,
    m,
    N: tl.constexpr,
    K: tl.constexpr,
    GROUP: tl.constexpr,
    TILE: tl.constexpr,
    ROWS: tl.constexpr,
    HALF: tl.constexpr,
    TOKENS: tl.constexpr,
    STEPS: tl.constexpr,
    FLOAT: tl.constexpr,
):
    block, part = tl.program_id(0), tl.program_id(2)
    row = tl.arange(0, ROWS)
    token = tl.program_id(1) * TOKENS + tl.arange(0, TOKENS)
    column = tl.arange(0, HALF)
    tile = (block * (ROWS // TILE) + row // TILE) * (K // (2 * HALF)) + part * STEPS
    tile_ptr = tiles_ptr + tile[:, None] * (TILE * HALF) + (row % TILE)[:, None] * HALF + column[None, :]
    x_tile_ptr = x_ptr + token[None, :] * K + part * STEPS * 2 * HALF + column[:, None]
    held = (token < m)[None, :]
    total = tl.zeros((ROWS, TOKENS), tl.float32)
    for step in range(STEPS):
        packed = tl.load(tile_ptr + step * (TILE * HALF), mask=(block * ROWS + row < N)[:, None], other=0).to(tl.int32)
        k = (part * STEPS + step) * 2 * HALF
        low_group, high_group = k // GROUP * N, (k + HALF) // GROUP * N
        place = block * ROWS + row
        s, z = _qparams(scale_ptr, zero_point_ptr, low_group + place, place < N)
        low = _dequantized(packed & 15, s[:, None], z[:, None], FLOAT)
        x_low = tl.load(x_tile_ptr + step * 2 * HALF, mask=held, other=0.0)
        total = tl.dot(low, x_low, total)
        if GROUP < 2 * HALF:
            s, z = _qparams(scale_ptr, zero_point_ptr, high_group + place, place < N)
        high = _dequantized(packed >> 4, s[:, None], z[:, None], FLOAT)
        x_high = tl.load(x_tile_ptr + step * 2 * HALF + HALF, mask=held, other=0.0)
        total = tl.dot(high, x_high, total)
    out = partial_ptr + (part * m + token[None, :]) * N + block * ROWS + row[:, None]
    tl.store(out, total, mask=held & (block * ROWS + row < N)[:, None])


@triton.jit
def _sum(partial_ptr, y_ptr, size, PARTS: tl.constexpr, TILE: tl.constexpr):
    place = tl.program_id(0) * TILE + tl.arange(0, TILE)
    total = tl.load(partial_ptr + place, mask=place < size, other=0.0)
    for part in tl.static_range(1, PARTS):
        total += tl.load(partial_ptr + part * size + place, mask=place < size, other=0.0)
    tl.store(y_ptr + place, total.to(tl.bfloat16), mask=place < size)
