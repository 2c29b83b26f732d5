"""What a fused affine quantization of rows is told, and what it returns: numbers and tensors."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

import torch
from torch import Tensor

MAX_GROUP = 16384


class Nibbles(IntEnum):
    """Two 4-bit codes a byte, each less qmin: which of a pair stands in the low half."""

    LOW_FIRST = 1
    HIGH_FIRST = 2


class Form(IntEnum):
    """How the range of a row becomes a scale, and what places the codes."""

    SYMMETRIC = 0  # s = max(-mn, mx) / divisor
    NO_CLIPPING = 1  # s = the larger of mn / qmin and mx / qmax
    ASYMMETRIC = 2  # s = (mx - mn) / divisor, z = clamp(qmin - round(mn / s))
    FLOAT = 3  # s = (mx - mn) / divisor, z = mn + s * mid


@dataclass(frozen=True, slots=True, kw_only=True)
class AffineGrid:
    """The numbers of one fused computation; `divisor` and `eps` are float32 values."""

    form: Form
    qmin: int
    qmax: int
    divisor: float
    eps: float
    includes_zero: bool
    scale_dtype: torch.dtype
    zero_point_dtype: torch.dtype | None  # None: there is none, and codes are round(x / s)
    constant_zero_point: int = 0  # of SYMMETRIC and NO_CLIPPING
    code_dtype: torch.dtype = torch.int8


@dataclass(frozen=True, slots=True, kw_only=True)
class AffineRows:
    """One scale (and zero point) a row; codes, values and the mask of codes within the grid, in the shape of x.

    `packed`: uint8 [rows, group / 2], the codes in pairs.
    """

    scale: Tensor
    zero_point: Tensor | None
    codes: Tensor | None
    values: Tensor | None
    inside: Tensor | None
    packed: Tensor | None = None
