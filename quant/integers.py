"""Where floats meet integer dtypes: which integers a float dtype holds, and what a conversion makes of the others."""

from __future__ import annotations

import torch
from torch import Tensor

from quant.remembered import remembered


@remembered
def holds(dtype: torch.dtype, value: float) -> bool:
    """Whether a dtype, floating or integer, represents a number exactly."""
    if not dtype.is_floating_point:
        return torch.iinfo(dtype).min <= value <= torch.iinfo(dtype).max and value == int(value)
    return torch.tensor(value, dtype=torch.float64).to(dtype).item() == value


def cast_to_integer(values: Tensor, dtype: torch.dtype) -> Tensor:
    """Floats cut to an integer dtype, the same on every device: out of range or NaN is what x86 makes of it.

    x86 converts through int32 (int64 for int64): what does not fit is that type's minimum, whose low bits are kept, so
    a NaN is 0 in int8, uint8 and int16.
    """
    wide = torch.int64 if dtype is torch.int64 else torch.int32
    least = float(torch.iinfo(wide).min)
    if values.dtype is torch.float16:
        values = values.float()  # which holds `least`
    return torch.where(values.abs() < -least, values, least).to(wide).to(dtype)
