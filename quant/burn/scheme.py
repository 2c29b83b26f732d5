"""Burn's own description of a quantized tensor: the fields of pull request #3042, with the values of later ones."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

import torch

from quant.burn.values import Value
from quant.propagation import Propagation

MAX_DIMENSIONS = 5
MAX_EXTENT = 255  # one byte a dimension
SCALE_DTYPES = (torch.float32, torch.float16, torch.bfloat16, torch.float8_e4m3fn)


class Mode(StrEnum):
    """How values become codes. The affine mode left Burn before the merge of #3042."""

    SYMMETRIC = "symmetric"


class Calibration(StrEnum):
    """What a range is before it is quantized: its extremes, or the mean magnitude to both sides of zero (BitNet)."""

    MIN_MAX = "min_max"
    ABS_MEAN = "abs_mean"


class Accumulator(StrEnum):
    """What sums a product of codes on a GPU: fp32, or fp16."""

    FULL = "full"
    HALF = "half"


@dataclass(frozen=True, slots=True)
class TensorLevel:
    """One scale for the whole tensor."""


@dataclass(frozen=True, slots=True)
class BlockLevel:
    """One scale for each block, a rectangle of the last dimensions; dimensions before them have extent 1.

    Leading extents of 1 say nothing and are left out: (1, 32) is (32,), which `of` makes of it. Raises ValueError for
    an extent that a byte does not hold and for more than five dimensions.
    """

    shape: tuple[int, ...]

    @classmethod
    def of(cls, *extents: int) -> BlockLevel:
        """The level of a rectangle, its leading extents of 1 left out."""
        kept = next((i for i, n in enumerate(extents) if n != 1), len(extents) - 1)
        return cls(extents[kept:])

    def __post_init__(self) -> None:
        if not 1 <= len(self.shape) <= MAX_DIMENSIONS or not all(1 <= n <= MAX_EXTENT for n in self.shape):
            raise ValueError(
                f"the block is {self.shape}; Burn's have one to {MAX_DIMENSIONS} extents of 1 to {MAX_EXTENT} each"
            )
        if len(self.shape) > 1 and self.shape[0] == 1:
            raise ValueError(f"the block is {self.shape}; leave leading extents of 1 out")


Level = TensorLevel | BlockLevel


@dataclass(frozen=True, slots=True, kw_only=True)
class BurnScheme:
    """level, mode, value, accumulator and propagation of #3042; defaults are the merge's, its QInt8 now called Q8S.

    `scale_dtype` came later; None is the merge's own rule, the dtype of the tensor. float8_e4m3fn stands for UE4M3,
    whose values are its positive ones. `global_dtype` is that of one scale a tensor above those of blocks, or None.
    `calibration` is what Burn hands to its Quantizer beside the scheme. Two tensors whose schemes differ in any other
    field have different dtypes there. Raises ValueError for a scale dtype that Burn does not compute with, and for a
    level above a tensor's one scale.
    """

    level: Level = TensorLevel()
    mode: Mode = Mode.SYMMETRIC
    value: Value = Value.Q8S
    accumulator: Accumulator = Accumulator.FULL
    propagation: Propagation = Propagation.INHIBIT
    scale_dtype: torch.dtype | None = None
    global_dtype: torch.dtype | None = None
    calibration: Calibration = Calibration.MIN_MAX

    def __post_init__(self) -> None:
        if self.scale_dtype is not None and self.scale_dtype not in SCALE_DTYPES:
            raise ValueError(
                f"scale_dtype is {self.scale_dtype}; Burn's scales are float32, float16, bfloat16 or float8_e4m3fn"
            )
        if self.global_dtype is not None and isinstance(self.level, TensorLevel):
            raise ValueError(
                f"global_dtype is {self.global_dtype} and level is {self.level}: one scale a tensor has none above it; "
                "use a BlockLevel"
            )
