"""mean_magnitude(rows, d) = R_d(sum of |x| / K): the exact mean of the magnitudes of a row, rounded once."""

import torch
from torch import Tensor

from kernels.divide import divide_to_odd
from kernels.narrow import narrow
from kernels.round_to_odd import sum_to_odd
from kernels.significance import exact_bits, sliced, spans


def mean_magnitude(rows: Tensor, dtype: torch.dtype) -> Tensor:
    """[..., K] float32, bfloat16 or float16 -> [..., 1] in `dtype`, one of these; no order of additions can move a bit.

    1. Magnitudes are cut into slices of so few bits that float64 adds K of them exactly.
    2. The sums of the slices are added to odd, and divided by K to odd: 53 bits remember for 24 what was dropped.
    3. One rounding to `dtype`.

    A row that holds a NaN has the mean NaN, else one that holds an infinity infinity. Raises ValueError for a float64
    `dtype`, which leaves no bits to remember with, and for rows of more than 2^26 values.
    """
    count = rows.shape[-1]
    if dtype is torch.float64:
        raise ValueError("dtype is torch.float64, but an exact mean is rounded to float32, bfloat16 or float16.")
    if count > 2**26:
        raise ValueError(f"a row holds {count} values, but the exact mean is that of at most 2**26.")
    wide = rows.to(torch.float64).abs()
    largest = wide.amax(-1, keepdim=True)
    finite = largest.isfinite()
    wide = torch.where(finite, wide, 0.0)
    top, bits = spans(wide, torch.where(finite, largest, 0.0))
    width = exact_bits(count)
    slices = 1 + -(-max(0, int(bits.max()) - width) // (width + 1))
    total = sum_to_odd([part.sum(-1, keepdim=True) for part in sliced(wide, top, width, slices)])
    return narrow(torch.where(finite, divide_to_odd(total, count), largest), dtype)
