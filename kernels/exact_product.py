"""exact_product(x, w, bias) = R_out(x @ w.T + bias): the exact sum of the exact products, rounded once.

No order of additions is left to matter, so batching, threads, tiles and devices cannot move a bit. Two ways lead there:

certified  One float64 matrix product, where the bits that the rows span prove that no addition rounds: if row m of x is
           integers below 2^s times a unit, and row n of w below 2^t, every partial sum is an integer of at most
           K * 2^(s + t) times the product of the units, and exact while that is at most 2^53.
sliced     Otherwise the rows are cut into slices of few bits, so that each product of slices is exact as above;
           products of slices with equal units are added exactly, and the few sums that remain are added to odd.
"""

from dataclasses import dataclass, replace
from math import isfinite

import torch
from torch import Tensor

from kernels.narrow import narrow
from kernels.round_to_odd import add_to_odd, sum_to_odd
from kernels.significance import cut, exact_bits, fits, halves, sliced, spans

_DTYPES = (torch.float32, torch.bfloat16, torch.float16)


@dataclass(frozen=True, slots=True, kw_only=True)
class Product:
    """`value` and the certificate of how it was computed: certified + sliced + nonfinite = value.numel()."""

    value: Tensor  # [..., M, N]
    certified: int  # outputs for which one float64 product was proven exact; a lower bound where slices were quicker
    sliced: int  # outputs that only slices make exact
    nonfinite: int  # outputs that meet an infinite or NaN operand: order-free, taken from the plain float64 product
    slices: tuple[int, int]  # slices of x and of w that were multiplied; (1, 1) when nothing was sliced


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
    addend = None if bias is None else bias.to(torch.float64).unsqueeze(-2)
    product = _unrounded(x.to(torch.float64), w.to(torch.float64), addend if bias_in_accumulator else None)
    value = narrow(product.value, out_dtype)
    if addend is not None and not bias_in_accumulator:
        value = narrow(add_to_odd(value.to(torch.float64), addend), out_dtype)
    if product.nonfinite or not bias_in_accumulator:
        value = torch.where(value.isnan(), torch.nan, value)
    return replace(product, value=value)


def _unrounded(x: Tensor, w: Tensor, addend: Tensor | None) -> Product:
    """odd_53(x @ w.T + addend) in float64, which one more rounding to 24 bits or fewer makes correctly rounded."""
    budget = exact_bits(x.shape[-1])
    rows = torch.cat((x.flatten(0, -2), w.flatten(0, -2)))
    if x.numel() and w.numel():
        largest = rows.abs().amax(-1, keepdim=True)
        finite_addend = addend is None or isfinite(addend.sum())  # finite float32 cannot overflow float64
        if not (finite_addend and fits(rows, largest, budget // 2)):
            return _in_halves(x, w, addend, rows, largest) if finite_addend else _examined(x, w, addend, rows, largest)
    total = x @ w.mT + 0.0  # makes a zero sum +0
    if addend is not None:
        total = add_to_odd(total, addend)
    return Product(value=total, certified=total.numel(), sliced=0, nonfinite=0, slices=(1, 1))


def _in_halves(x: Tensor, w: Tensor, addend: Tensor | None, rows: Tensor, largest: Tensor) -> Product:
    """`_unrounded` by two slices a row where two hold every bit, found out by cutting and not by counting bits."""
    width = exact_bits(2 * x.shape[-1]) // 2
    high, low = halves(rows, largest, width)
    if low is None:
        return _examined(x, w, addend, rows, largest)
    slices_x, slices_w = zip(*(_parted(part, x, w) for part in (high, low)), strict=True)
    terms = _slice_products(list(slices_x), list(slices_w))
    total = sum_to_odd(terms if addend is None else [*terms, addend]) + 0.0  # makes a zero sum +0
    return Product(value=total, certified=0, sliced=total.numel(), nonfinite=0, slices=(2, 2))


def _examined(x: Tensor, w: Tensor, addend: Tensor | None, rows: Tensor, largest: Tensor) -> Product:
    """`_unrounded` for operands that the quick test did not pass: exact spans, slices if need be, non-finite apart.

    `rows` are the rows of x, then those of w; `largest` is max|row|.
    """
    finite_x, finite_w = _parted(largest < torch.inf, x, w)
    finite = finite_x & finite_w.mT
    if addend is not None:
        finite = finite & addend.isfinite()
    plain = None
    if not bool(finite.all()):
        plain = x @ w.mT if addend is None else x @ w.mT + addend
        rows, largest = (torch.where(largest < torch.inf, of_rows, 0.0) for of_rows in (rows, largest))
        x, w = _parted(rows, x, w)
        addend = None if addend is None else torch.where(addend.isfinite(), addend, 0.0)
    top, bits = spans(rows, largest)
    (top_x, top_w), (bits_x, bits_w) = _parted(top, x, w), _parted(bits, x, w)
    proven = (bits_x + bits_w.mT <= exact_bits(x.shape[-1])) & finite
    width, slices = cut(int(bits_x.max()), int(bits_w.max()), x.shape[-1])
    terms = _slice_products(sliced(x, top_x, width, slices[0]), sliced(w, top_w, width, slices[1]))
    total = sum_to_odd(terms if addend is None else [*terms, addend]) + 0.0  # makes a zero sum +0
    certified, nonfinite = int(proven.sum()), 0
    if plain is not None:
        total = torch.where(finite, total, plain)
        nonfinite = int((~finite).sum())
    return Product(
        value=total,
        certified=certified,
        sliced=total.numel() - certified - nonfinite,
        nonfinite=nonfinite,
        slices=slices,
    )


def _parted(rows: Tensor, x: Tensor, w: Tensor) -> tuple[Tensor, Tensor]:
    """The rows of x and the rows of w out of their concatenation, in the leading shapes of x and w."""
    of_x, of_w = rows.split((x.shape[:-1].numel(), w.shape[:-1].numel()))
    return of_x.unflatten(0, x.shape[:-1]), of_w.unflatten(0, w.shape[:-1])


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
