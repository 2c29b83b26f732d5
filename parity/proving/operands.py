"""Every operand there is: the finite values of a 16-bit dtype, its positive scales, and the zero points of a grid."""

from __future__ import annotations

from typing import Final

import torch
from torch import Tensor

from parity.bits import dtype_name
from parity.formats import FLOATS

ENUMERABLE: Final = (torch.bfloat16, torch.float16)


def finite_values(dtype: torch.dtype) -> Tensor:
    """Each finite value of a 16-bit float dtype once, ascending, -0.0 before +0.0. Raises ValueError for another."""
    magnitude = _magnitudes(dtype)
    negative = magnitude.flip(0) | torch.iinfo(torch.int16).min
    return torch.cat([negative, magnitude]).view(dtype)


def positive_scales(dtype: torch.dtype) -> Tensor:
    """Each positive finite value of a 16-bit float dtype, ascending from the least subnormal."""
    return _magnitudes(dtype)[1:].view(dtype)


def telling_zero_points(qmin: int, qmax: int) -> tuple[int, ...]:
    """qmin, qmin + 1, -1, 0, 1, qmax: both parities, both ends, either side of zero; those that the grid holds."""
    return tuple(sorted({z for z in (qmin, qmin + 1, -1, 0, 1, qmax) if qmin <= z <= qmax}))


def infinite_reciprocals(scales: Tensor, dtype: torch.dtype) -> Tensor:
    """bool: where 1/scale is beyond a dtype's largest number."""
    return (1.0 / scales.double()).to(dtype).isinf()


def _magnitudes(dtype: torch.dtype) -> Tensor:
    if dtype not in ENUMERABLE:
        names = " and ".join(map(dtype_name, ENUMERABLE))
        raise ValueError(f"the dtype is {dtype_name(dtype)}; only {names} have few enough values to try them all")
    # The patterns of finite magnitudes are the integers below infinity's, in the order of their values.
    return torch.arange(FLOATS[dtype_name(dtype)].largest, dtype=torch.int16)
