"""Every operand there is: the finite values of a float dtype, its positive scales, and the zero points of a grid."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor

from parity.bits import dtype_name
from parity.formats import FLOATS

ENUMERABLE: Final = (torch.bfloat16, torch.float16)

# Inputs of float32 that are run at once; a part of its 2 * 255 * 2^23 finite values on either side of zero.
_PART: Final = {"cpu": 2**18, "cuda": 2**23}


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Inputs:
    """What is held against every scale: parts of `size` values each, part(0) to part(parts - 1), ascending."""

    noun: str
    size: int
    parts: int
    part: Callable[[int], Tensor]

    @property
    def total(self) -> int:
        return self.size * self.parts

    @classmethod
    def at_once(cls, noun: str, values: Tensor) -> Inputs:
        """All of them in one part."""
        return cls(noun=noun, size=len(values), parts=1, part=lambda _: values)

    @classmethod
    def finite(cls, dtype: torch.dtype, device: str) -> Inputs:
        """Each finite value of a dtype once, on a device: a 16-bit one's at once, float32's in parts made as needed."""
        noun = f"finite {dtype_name(dtype)} inputs"
        if dtype in ENUMERABLE:
            return cls.at_once(noun, finite_values(dtype).to(device))
        size, magnitudes = _PART[device], FLOATS[dtype_name(torch.float32)].largest
        assert magnitudes % size == 0, "a part must not lie on both sides of zero"

        def part(i: int) -> Tensor:
            ranks = torch.arange(i * size - magnitudes, (i + 1) * size - magnitudes, dtype=torch.int32, device=device)
            # The ranks below zero are -1 - m of the negative magnitudes m, whose patterns have the sign bit on top.
            return (ranks if i * size >= magnitudes else ~ranks | torch.iinfo(torch.int32).min).view(torch.float32)

        return cls(noun=noun, size=size, parts=2 * magnitudes // size, part=part)


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
