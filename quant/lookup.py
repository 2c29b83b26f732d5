"""lookup(table, indices) = table[indices], whose gradient is an exact sum over the places that a row was read from."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from kernels.traced import summed_rows


def lookup(table: Tensor, indices: Tensor, padding_idx: int | None) -> Tensor:
    """table [entries, width] at indices of any shape: [..., width]. The padding row receives no gradient.

    The gradient of a row is R(sum of the gradients of its places), the sum exact, so neither the order of places nor
    the device can move it: torch's own sums 16-bit gradients one after another on CPU and in fp32 on CUDA.
    """
    result: Tensor = _Lookup.apply(table, indices, padding_idx)  # type: ignore[no-untyped-call]  # autograd has no types
    return result


class _Lookup(torch.autograd.Function):
    """grad_table[i] = the exact sum of the gradients of the places that read row i."""

    @staticmethod
    def forward(ctx: Any, table: Tensor, indices: Tensor, padding_idx: int | None) -> Tensor:
        ctx.save_for_backward(indices)
        ctx.entries, ctx.padding_idx = len(table), padding_idx
        return F.embedding(indices, table, padding_idx)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        (indices,) = ctx.saved_tensors
        grad = grads[0].reshape(-1, grads[0].shape[-1])
        total = summed_rows(grad, indices.reshape(-1), ctx.entries)
        if ctx.padding_idx is not None:
            total[ctx.padding_idx] = 0
        return total, None, None
