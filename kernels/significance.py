"""How many bits a row spans, and rows cut into slices of few bits: what makes a float64 matrix product provably exact.

Rows are the last dimension of a float64 tensor whose values came from float32 or narrower; `largest` is max|row|, kept
as a last dimension of 1.
"""

import torch
from torch import Tensor

_NO_BIT = 4096  # above every exponent


def spans(rows: Tensor, largest: Tensor) -> tuple[Tensor, Tensor]:
    """(top, bits) of each row: |row| < top, the smallest such power of two; row = integers * top * 2^-bits.

    `bits` (int64) is the smallest such number. A row of zeros, or one that is not finite, has no meaningful span.
    """
    fields = rows.abs().view(torch.int64)
    lowest_bit = (fields & -fields).clamp(max=2**52)  # a power of two; 2^52 stands for the implicit leading bit
    trailing_zeros = (lowest_bit.to(torch.float64).view(torch.int64) >> 52) - 1023
    lowest = torch.where(fields == 0, _NO_BIT, (fields >> 52) - 52 + trailing_zeros).amin(-1, keepdim=True)
    above = (largest.view(torch.int64) >> 52) + 1
    return (above << 52).view(torch.float64), above - lowest


def exact_bits(terms: int) -> int:
    """The largest b with terms * 2^b <= 2^53: sums of `terms` integers up to 2^b are exact in float64, in any order."""
    return 53 - max(0, terms - 1).bit_length()


def cut(bits_x: int, bits_w: int, k: int) -> tuple[int, tuple[int, int]]:
    """(width, slices of x and of w) such that a sum over K and over all pairs of slices with one unit is exact.

    Uncut when K * 2^(bits_x + bits_w) <= 2^53. Else K * pairs * 2^(2 * width) <= 2^53; pairs, the smaller of the two
    numbers of slices, may itself grow as the width shrinks.
    """
    if bits_x + bits_w <= exact_bits(k):
        return max(bits_x, bits_w), (1, 1)
    pairs = 1
    while True:
        width = exact_bits(k * pairs) // 2
        # The first slice takes `width` bits, every other one more: its sign.
        count_x, count_w = (1 + -(-max(0, bits - width) // (width + 1)) for bits in (bits_x, bits_w))
        if min(count_x, count_w) <= pairs:
            return width, (count_x, count_w)
        pairs = min(count_x, count_w)


def sliced(rows: Tensor, top: Tensor, width: int, count: int) -> list[Tensor]:
    """rows = slice_0 + slice_1 + ... exactly; slice_i = integers up to 2^width times top * 2^-(width + i*(width+1)).

    Each slice rounds what is left to its unit (v + c - c with c = 1.5 * 2^52 units), so at most half a unit is left:
    the sign is the bit won. `top` is that of `spans`, `count` that of `cut` (after Ozaki et al., "Error-free
    transformations of matrix multiplication", 2012).
    """
    parts = []
    rest = rows
    for i in range(count - 1):
        offset = top * (1.5 * 2.0 ** (52 - width - i * (width + 1)))
        part = rest + offset - offset
        rest = rest - part
        parts.append(part)
    return [*parts, rest]
