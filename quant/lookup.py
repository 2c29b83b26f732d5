"""lookup(table, indices) = table[indices], whose gradient is an exact sum over the places that a row was read from."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from kernels.exact_product import exact_product


def lookup(table: Tensor, indices: Tensor, padding_idx: int | None) -> Tensor:
    """table [entries, width] at indices of any shape: [..., width]. The padding row receives no gradient.

    The gradient of a row is R(sum of the gradients of its places), the sum exact, so neither the order of places nor
    the device can move it: torch's own sums 16-bit gradients one after another on CPU and in fp32 on CUDA.
    """
    result: Tensor = _Lookup.apply(table, indices, padding_idx)  # type: ignore[no-untyped-call]  # autograd has no types
    return result


class _Lookup(torch.autograd.Function):
    """grad_table = one_hot(indices).T @ grad, by an exact product over the rows that were read."""

    @staticmethod
    def forward(ctx: Any, table: Tensor, indices: Tensor, padding_idx: int | None) -> Tensor:
        ctx.save_for_backward(indices)
        ctx.entries, ctx.padding_idx = len(table), padding_idx
        return F.embedding(indices, table, padding_idx)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        (indices,) = ctx.saved_tensors
        grad = grads[0].reshape(-1, grads[0].shape[-1])
        rows, place = indices.reshape(-1).unique(return_inverse=True)
        one_hot = (torch.arange(len(rows), device=grad.device).unsqueeze(1) == place).to(grad.dtype)
        total = torch.zeros(ctx.entries, grad.shape[-1], dtype=grad.dtype, device=grad.device)
        total[rows] = exact_product(one_hot, grad.mT, None, grad.dtype).value
        if ctx.padding_idx is not None:
            total[ctx.padding_idx] = 0
        return total, None, None
