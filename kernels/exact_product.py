"""exact_product(x, w, bias) = R_out(x @ w.T + bias): the exact sum of the exact products, rounded once.

No order of additions is left to matter, so batching, threads, tiles and devices cannot move a bit. Two ways lead there:

certified  One float64 matrix product, in which every product of two operands is exact (48 bits of 53). In whatever
           order it is summed, with or without fused steps, the sum of K terms is off by at most u*K/(1 - u*K) * |x| |w|
           with u = 2^-53 and Euclidean norms (Higham, "Accuracy and Stability of Numerical Algorithms", 3.1, and
           Cauchy-Schwarz). Where both ends of that interval round to the same bits, so does the exact sum (Ziv, "Fast
           evaluation of elementary mathematical functions within 1/2 ulp", 1991).
resummed   The outputs that are left: their rows are cut into slices of few bits, so that no addition of a product of
           slices rounds; products of slices with equal units are added exactly, and the few sums that remain to odd.
           On CUDA they are summed in fixed point instead (kernels.exact_product_triton).
"""

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from kernels.availability import missing_triton
from kernels.narrow import narrow
from kernels.round_to_odd import add_to_odd, sum_to_odd
from kernels.significance import cut, sliced, spans

_DTYPES = (torch.float32, torch.bfloat16, torch.float16)
# Rows are gathered for the outputs that are left while they hold no more values than this; beyond, all are sliced.
_GATHERED = 2**22


@dataclass(frozen=True, slots=True, kw_only=True)
class Product:
    """`value` and the certificate of how it was computed: certified + resummed + nonfinite = value.numel().

    The counts lie on value's device until they are asked for.
    """

    value: Tensor  # [..., M, N]
    counts: Tensor  # int64 [..., 2]: outputs that were computed a second time, and those of them that are not finite
    slices: tuple[int, int] = (1, 1)  # the most slices of x and of w that were multiplied

    @property
    def certified(self) -> int:
        """Outputs proven by one float64 product: by its error bound, or by the bits that their rows span."""
        return self.value.numel() - int(self.counts[..., 0].sum())

    @property
    def resummed(self) -> int:
        """Outputs that were summed a second time, without rounding: by slices, or on CUDA in fixed point."""
        return int(self.counts[..., 0].sum()) - self.nonfinite

    @property
    def nonfinite(self) -> int:
        """Outputs that meet an infinite or NaN operand: order-free, taken from the plain float64 product."""
        return int(self.counts[..., 1].sum())


def exact_product(
    x: Tensor, w: Tensor, bias: Tensor | None, out_dtype: torch.dtype, bias_in_accumulator: bool = True
) -> Product:
    """value = R_out(sum + bias) with the bias in the accumulator, else R_out(R_out(sum) + bias); sum is exact.

    `x`: [..., M, K], `w`: [..., N, K], `bias`: [..., N]: float32, bfloat16 or float16. Leading dimensions broadcast:
    stacked cases give the bits they give alone. `out_dtype`: one of the same three; others raise ValueError.
    A sum that is exactly zero is +0 (the accumulator starts at +0, and +0 + -0 = +0 when rounding to nearest), whatever
    the signs of its products; one that rounds to zero keeps its sign. NaN is the positive quiet NaN.
    """
    for role, operand in (("x", x), ("w", w), ("bias", x if bias is None else bias)):
        if operand.dtype not in _DTYPES:
            raise ValueError(f"{role} is {operand.dtype}, but an exact product takes float32, bfloat16 or float16.")
    if out_dtype not in _DTYPES:
        raise ValueError(f"out_dtype is {out_dtype}, but an exact product is rounded to float32, bfloat16 or float16.")
    if x.shape[-1] == 0:  # a sum of nothing is a sum of one zero
        x, w = x.new_zeros(*x.shape[:-1], 1), w.new_zeros(*w.shape[:-1], 1)
    addend = None if bias is None else bias.to(torch.float64).unsqueeze(-2)
    product = _rounded(x, w, addend if bias_in_accumulator else None, out_dtype)
    if addend is None or bias_in_accumulator:
        return product
    value = narrow(add_to_odd(product.value.to(torch.float64), addend), out_dtype)
    return replace(product, value=torch.where(value.isnan(), torch.nan, value))


def _rounded(x: Tensor, w: Tensor, addend: Tensor | None, dtype: torch.dtype) -> Product:
    """R_dtype(x @ w.T + addend), a float64 addend [..., 1, N]."""
    (x, squares_x), (w, squares_w) = _widened(x), _widened(w)
    total = x @ w.mT
    if addend is not None:
        total = total + addend
    # K + 1 additions, and the two at the ends; the norms' own roundings are some K * 2^-53 of them.
    relative = (x.shape[-1] + 8) * 2.0**-53 * (1 + 2.0**-20)
    if total.is_cuda and missing_triton() is None:
        from kernels.exact_product_triton import rounded

        def spread(part: Tensor) -> Tensor:
            return part.expand(*total.shape[:-2], *part.shape[-2:]).contiguous()

        addend = None if addend is None else spread(addend)
        squares = spread(squares_x), spread(squares_w)
        value, counts = rounded(total.contiguous(), spread(x), spread(w), *squares, addend, relative, dtype)
        return Product(value=value, counts=counts)
    error = squares_x.sqrt() * squares_w.sqrt().mT
    if addend is not None:
        error = error + addend.abs()
    error = error * relative
    value, other_end = narrow(total + error, dtype), narrow(total - error, dtype)
    proven = (value == other_end) & (value.signbit() == other_end.signbit())
    left = ~proven
    n_left = int(left.sum())
    if n_left == 0:
        return Product(value=value, counts=left.new_zeros((*left.shape[:-2], 2), dtype=torch.int64))
    again, slices = _again(x, w, addend, dtype, left, n_left)
    if again.shape == value.shape:
        value = again
    else:
        value[left] = again
    nonfinite = left & ~total.isfinite()
    counted = (nonfinite if slices == (1, 1) else left, nonfinite)
    return Product(value=value, counts=torch.stack([mask.sum((-2, -1)) for mask in counted], -1), slices=slices)


def _widened(rows: Tensor) -> tuple[Tensor, Tensor]:
    """(rows in float64, the sum of squares of each) with the sums as [..., 1]."""
    if rows.is_cuda and missing_triton() is None:
        from kernels.exact_product_triton import widened

        return widened(rows.contiguous())
    wide = rows.to(torch.float64)
    return wide, wide.square().sum(-1, keepdim=True)


def _again(
    x: Tensor, w: Tensor, addend: Tensor | None, dtype: torch.dtype, left: Tensor, n_left: int
) -> tuple[Tensor, tuple[int, int]]:
    """(the outputs of the mask `left`, one after another, or all in their shape where that is less work; slices)."""
    if 2 * n_left * x.shape[-1] > max(_GATHERED, x.numel() + w.numel()):
        return _sliced(x, w, addend, dtype)
    lead = left.shape[:-2]
    places = left.nonzero(as_tuple=True)
    rows = x.expand(*lead, *x.shape[-2:])[places[:-1]].unsqueeze(-2)
    columns = w.expand(*lead, *w.shape[-2:])[*places[:-2], places[-1]].unsqueeze(-2)
    addends = None if addend is None else addend.expand(left.shape)[places][:, None, None]
    value, slices = _sliced(rows, columns, addends, dtype)
    return value.flatten(), slices


def _sliced(x: Tensor, w: Tensor, addend: Tensor | None, dtype: torch.dtype) -> tuple[Tensor, tuple[int, int]]:
    """(R_dtype(x @ w.T + addend) by slices, how many of x and of w); what is not finite is the plain product's."""
    finite_x, finite_w = _finite(x), _finite(w)
    finite = finite_x & finite_w.mT
    if addend is not None:
        finite = finite & addend.isfinite()
    plain = None
    if not bool(finite.all()):
        plain = x @ w.mT if addend is None else x @ w.mT + addend
        x, w = torch.where(finite_x, x, 0.0), torch.where(finite_w, w, 0.0)
        addend = None if addend is None else torch.where(addend.isfinite(), addend, 0.0)
    (top_x, bits_x), (top_w, bits_w) = (spans(rows, rows.abs().amax(-1, keepdim=True)) for rows in (x, w))
    width, slices = cut(int(bits_x.max()), int(bits_w.max()), x.shape[-1])
    terms = _slice_products(sliced(x, top_x, width, slices[0]), sliced(w, top_w, width, slices[1]))
    total = sum_to_odd(terms if addend is None else [*terms, addend]) + 0.0  # makes a zero sum +0
    if plain is None:
        return narrow(total, dtype), slices
    value = narrow(torch.where(finite, total, plain), dtype)
    return torch.where(value.isnan(), torch.nan, value), slices


def _finite(rows: Tensor) -> Tensor:
    return rows.isfinite().all(-1, keepdim=True)


def _slice_products(slices_x: list[Tensor], slices_w: list[Tensor]) -> list[Tensor]:
    """The exact sums, for d = 0, 1, ..., of all slices_x[i] @ slices_w[d - i].T, whose unit depends on d alone."""
    blocks = torch.cat(slices_x, dim=-2) @ torch.cat(slices_w, dim=-2).mT
    sums: list[Tensor] = []
    for i, row in enumerate(blocks.chunk(len(slices_x), dim=-2)):
        for j, block in enumerate(row.chunk(len(slices_w), dim=-1)):
            if i + j < len(sums):
                sums[i + j] = sums[i + j] + block
            else:
                sums.append(block)
    return sums
