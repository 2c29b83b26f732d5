"""sequential_product: acc = acc + x[m, k] * w[n, k] for k = 0, 1, ..., rounded at every step, in one fixed order."""

import torch
from torch import Tensor

from kernels.availability import missing_triton
from kernels.fma import fma
from kernels.narrow import narrow
from kernels.round_to_odd import add_to_odd


def sequential_product(
    x: Tensor,
    w: Tensor,
    *,
    accumulate_dtype: torch.dtype,
    fused: bool,
    bias: Tensor | None = None,
    out_dtype: torch.dtype,
) -> Tensor:
    """out = R_out(acc), acc starting at +0 and taking one term after another, k ascending.

    fused: acc = R(acc + x * w). Otherwise acc = R(acc + R(x * w)). R rounds to `accumulate_dtype`, float32 or float16
    (else ValueError). `x`: [..., M, K], `w`: [..., N, K], float32, bfloat16 or float16, leading dimensions broadcast;
    `bias`: [..., N], added to the accumulator as a last step, R(acc + bias), with no product in it. On CUDA a float32
    accumulator is a kernel of its own (kernels.sequential_product_triton).
    """
    if accumulate_dtype not in (torch.float32, torch.float16):
        raise ValueError(f"accumulate_dtype is {accumulate_dtype}, but an accumulator is float32 or float16 here.")
    if x.is_cuda and accumulate_dtype is torch.float32 and missing_triton() is None:
        from kernels.sequential_product_triton import sums

        acc = sums(x, w, fused)
    else:
        acc = _sums(x, w, accumulate_dtype, fused)
    if bias is not None:
        total = add_to_odd(acc.to(torch.float64), bias.unsqueeze(-2).to(torch.float64))
        acc = narrow(total, accumulate_dtype)
    return narrow(acc, out_dtype)


def _sums(x: Tensor, w: Tensor, dtype: torch.dtype, fused: bool) -> Tensor:
    """acc [..., M, N], one k after another."""
    step = _STEPS[dtype, fused]
    columns = x.to(torch.float32).unsqueeze(-2)  # [..., M, 1, K]
    rows = w.to(torch.float32).unsqueeze(-3)  # [..., 1, N, K]
    shape = torch.broadcast_shapes(columns.shape[:-1], rows.shape[:-1])
    acc = torch.zeros(shape, dtype=dtype, device=x.device)
    for k in range(x.shape[-1]):
        acc = step(acc, columns[..., k], rows[..., k])
    return acc


def _float32_fused(acc: Tensor, a: Tensor, b: Tensor) -> Tensor:
    return fma(a, b, acc)


def _float32(acc: Tensor, a: Tensor, b: Tensor) -> Tensor:
    return acc + a * b


def _float16_fused(acc: Tensor, a: Tensor, b: Tensor) -> Tensor:
    return narrow(add_to_odd(_exact(a, b), acc.to(torch.float64)), torch.float16)


def _float16(acc: Tensor, a: Tensor, b: Tensor) -> Tensor:
    # float16 sums rounded by way of float32 are rounded once: 24 >= 2 * 11 + 2.
    return acc + narrow(_exact(a, b), torch.float16)


def _exact(a: Tensor, b: Tensor) -> Tensor:
    """a * b of two float32, in float64 and therefore exact."""
    return a.to(torch.float64) * b.to(torch.float64)


_STEPS = {
    (torch.float32, True): _float32_fused,
    (torch.float32, False): _float32,
    (torch.float16, True): _float16_fused,
    (torch.float16, False): _float16,
}
