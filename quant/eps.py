"""eps as a declared property of a dtype, so that no default hides whose eps it is."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

import torch


class EpsProperty(StrEnum):
    """Which property of a floating dtype: 2**-23 or 2**-126 for fp32."""

    EPS = "eps"
    SMALLEST_NORMAL = "smallest_normal"


class PropertyDtype(StrEnum):
    """Whose property: the quantized tensor's dtype, the stored scale's, or a fixed one.

    NARROWER_SCALE is the one of smaller range among the dtypes in which the scale is computed and read, so that a
    smallest normal of it is none that the computation rounds to zero. Scales of eight bits are read in fp32.
    """

    INPUT = "input"
    SCALE = "scale"
    NARROWER_SCALE = "narrower_scale"
    FLOAT32 = "float32"
    BFLOAT16 = "bfloat16"
    FLOAT16 = "float16"


@dataclass(frozen=True, slots=True)
class EpsOf:
    """eps = torch.finfo(dtype).<property>, with the dtype named or taken from the tensor or the scale."""

    property: EpsProperty
    dtype: PropertyDtype

    def resolve(self, input_dtype: torch.dtype, scale_dtype: torch.dtype, passed: tuple[torch.dtype, ...]) -> float:
        """The number, once the dtypes are known of the tensor, of its stored scale, and of those the scale passes.

        The last matter to `narrower_scale` alone.
        """
        dtypes = {
            PropertyDtype.INPUT: input_dtype,
            PropertyDtype.SCALE: scale_dtype,
            PropertyDtype.NARROWER_SCALE: max(passed, key=lambda d: torch.finfo(d).smallest_normal),
        }
        finfo = torch.finfo(dtypes.get(self.dtype) or getattr(torch, self.dtype.value))
        return float(finfo.eps if self.property is EpsProperty.EPS else finfo.smallest_normal)
