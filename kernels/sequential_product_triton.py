"""sequential_product's float32 accumulator on CUDA: one an output, k ascending, no tensor core and no tile of k.

A fused step is the device's fma, an unfused one its product and its sum, which no compiler may contract; subnormals are
kept. The plain-torch reference is kernels.sequential_product, whose bits these are.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

_TILE = 32  # rows and columns of one program
_UNROLLED = 8  # steps whose operands are asked for together


def sums(x: Tensor, w: Tensor, fused: bool) -> Tensor:
    """acc [..., M, N] in float32 of `x` [..., M, K] and `w` [..., N, K], float32, bfloat16 or float16.

    Leading dimensions broadcast.
    """
    lead = torch.broadcast_shapes(x.shape[:-2], w.shape[:-2])
    (m, k), n = x.shape[-2:], w.shape[-2]
    acc = torch.empty((*lead, m, n), dtype=torch.float32, device=x.device)
    if acc.numel():
        # k first: the programs' loads are then of neighbours.
        x, w = (t.mT.expand(*lead, *t.mT.shape[-2:]).contiguous() for t in (x, w))
        rows, columns = triton.cdiv(m, _TILE), triton.cdiv(n, _TILE)
        grid = (lead.numel() * rows * columns,)
        _accumulate[grid](
            x, w, acc, m, n, K=k, FUSED=fused, TILE=_TILE, UNROLLED=_UNROLLED, num_warps=4, enable_fp_fusion=False
        )
    return acc


@triton.jit
def _step(acc, x_ptr, w_ptr, row, column, m, n, FUSED: tl.constexpr):
    """acc + x * w, of one k."""
    x = tl.load(x_ptr + row, mask=row < m, other=0.0).to(tl.float32)[:, None]
    w = tl.load(w_ptr + column, mask=column < n, other=0.0).to(tl.float32)[None, :]
    if FUSED:
        x, w = tl.broadcast(x, w)
        return tl.fma(x, w, acc)
    return acc + x * w


@triton.jit(do_not_specialize=["m", "n"])
def _accumulate(
    x_ptr, w_ptr, acc_ptr, m, n, K: tl.constexpr, FUSED: tl.constexpr, TILE: tl.constexpr, UNROLLED: tl.constexpr
):
    columns = tl.cdiv(n, TILE)
    tile = tl.program_id(0) % (tl.cdiv(m, TILE) * columns)
    case = (tl.program_id(0) // (tl.cdiv(m, TILE) * columns)).to(tl.int64)
    row = tile // columns * TILE + tl.arange(0, TILE)
    column = tile % columns * TILE + tl.arange(0, TILE)
    x_ptr += case * m * K
    w_ptr += case * n * K
    acc = tl.zeros((TILE, TILE), tl.float32)
    for _ in range(K // UNROLLED):
        for _ in tl.static_range(UNROLLED):
            acc = _step(acc, x_ptr, w_ptr, row, column, m, n, FUSED)
            x_ptr += m
            w_ptr += n
    # A step of zeros would not do for those that are left: it turns an accumulator of -0 into +0.
    for _ in tl.static_range(K % UNROLLED):
        acc = _step(acc, x_ptr, w_ptr, row, column, m, n, FUSED)
        x_ptr += m
        w_ptr += n
    place = case * m * n + row[:, None] * n + column[None, :]
    tl.store(acc_ptr + place, acc, mask=(row < m)[:, None] & (column < n)[None, :])
