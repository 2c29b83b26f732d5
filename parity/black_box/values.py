"""The numbers of a question: ranges that fix a scale, values half-way between codes, scales, zero points and codes.

Everything is float64 until it is rounded once to the dtype that holds it, and made by counting: the same on every
machine.
"""

from __future__ import annotations

from typing import Final

import torch
from torch import Tensor

from parity.black_box.schemes import SIZE, Grid
from quant import Mapping, ZeroPointDomain
from quant.codes import storage_dtype
from quant.scheme import ResolvedScheme

_INTEGER_OF: Final = {torch.float32: torch.int32, torch.bfloat16: torch.int16, torch.float16: torch.int16}
_SHAPES: Final = ((-1, 1), (-0.63, 1), (-1, 0.21), (0, 0.77), (-0.91, 0), (0.55, 0.83), (-0.9, -0.42))
_GOLDEN: Final = 0.6180339887498949


def ordinary_ranges(grid: Grid, dtype: torch.dtype) -> Tensor:
    """[groups, 2] lowest and highest values whose scales lie around 1, in every shape and with many mantissas.

    Among them are ranges that divide evenly: whose scale is a power of two by one of the formulas, and whose zero point
    is half-way between two codes.
    """
    half = grid.span / 2
    found = [
        (low * half * size, high * half * size)
        for i, (low, high) in enumerate(_SHAPES * 7)
        for size in (2.0 ** (i % 5 - 3) * (1 + (i * _GOLDEN) % 1),)
    ]
    for end in (half, grid.qmax, -grid.qmin):
        found += [(-end * 2.0**e, end * 2.0**e) for e in (-2, -1, 0) if end]
    for k in range(min(grid.span, 12)):
        step = 2.0 ** (k % 3 - 2)
        found.append((-(k + 0.5) * step, (grid.span - k - 0.5) * step))
        found.append((-(k + 1) * step, (grid.span - k - 1) * step))
    return torch.tensor(found, dtype=torch.float64).to(dtype)


def ranges_at(size: float, dtype: torch.dtype, binades: range) -> Tensor:
    """[groups, 2] ranges of every shape times `size`, in these binades."""
    found = [(low * size * 2.0**e, high * size * 2.0**e) for e in binades for low, high in (*_SHAPES, (-0.37, 0.41))]
    return torch.tensor(found, dtype=torch.float64).to(dtype)


def rows(ranges: Tensor) -> Tensor:
    """[groups, SIZE] with these ranges: the lowest value, the highest, and others between them."""
    low, high = ranges[:, :1].double(), ranges[:, 1:].double()
    place = torch.arange(len(ranges)).unsqueeze(1) * 0.7548776662466927 + torch.arange(SIZE - 2) * _GOLDEN
    return torch.cat([ranges, (low + (high - low) * (place % 1)).to(ranges.dtype)], 1)


def with_ties(ranges: Tensor, scale: Tensor, zero_point: Tensor | None, scheme: ResolvedScheme) -> Tensor:
    """[groups, SIZE] with these ranges, filled with values half-way between two codes, and one step beside them.

    Half-way at the scale as it is stored, and in every other column as it was before it was rounded.
    """
    low, high = ranges[:, :1], ranges[:, 1:]
    steps, asymmetric = float(scheme.qmax - scheme.qmin), scheme.mapping is Mapping.ASYMMETRIC
    reach = (high - low).double() if asymmetric else torch.maximum(-low, high).double() * 2
    unrounded = (reach / steps).expand(-1, SIZE - 2)
    column = torch.arange(SIZE - 2)
    scales = torch.where(column % 2 == 0, scale.double().nan_to_num(posinf=1.0), unrounded)
    ties = half_way(scales, zero_point, scheme, ranges.dtype)
    inside = (ties >= low) & (ties <= high)
    return torch.cat([ranges, torch.where(inside, ties, high)], 1)


def half_way(scale: Tensor, zero_point: Tensor | None, scheme: ResolvedScheme, dtype: torch.dtype) -> Tensor:
    """[groups, columns] values that lie half-way between two codes around the grid, or one step of dtype to a side.

    scale [groups, columns] in float64.
    """
    group, column = torch.arange(len(scale)).unsqueeze(1), torch.arange(scale.shape[1])
    count = int(scheme.qmax - scheme.qmin) + 6
    code = ((group * 13 + column * 37) % count + scheme.qmin - 3).double() + 0.5
    if scheme.zero_point_domain is ZeroPointDomain.FLOAT:
        assert zero_point is not None
        values = (code - scheme.midpoint) * scale + zero_point.double()
    else:
        values = (code - (0.0 if zero_point is None else zero_point.double())) * scale
    return beside(values.to(dtype), (group + column // 2) % 3 - 1)


def beside(values: Tensor, steps: Tensor) -> Tensor:
    """Each value moved by some steps of its dtype, away from zero for positive ones; zero and the greatest stay."""
    integer = _INTEGER_OF[values.dtype]
    moved = (values.view(integer) + steps.to(integer)).view(values.dtype)
    return torch.where(values.isfinite() & (values != 0) & moved.isfinite(), moved, values)


def given_scales(dtype: torch.dtype) -> Tensor:
    """[groups, 1] scales around 1: powers of two, and mantissas of every length."""
    mantissas = [1 + (i * _GOLDEN) % 1 for i in range(1, 41)]
    found = [2.0**e for e in (-3, -1, 0, 2)] + [m * 2.0 ** (i % 5 - 3) for i, m in enumerate(mantissas)]
    return torch.tensor(found, dtype=torch.float64).unsqueeze(1).to(dtype)


def given_zero_points(scheme: ResolvedScheme, scale: Tensor) -> Tensor | None:
    """[groups, 1] a zero point for each scale: odd and even codes, or values of either sign."""
    dtype = scheme.zero_point_dtype
    if dtype is None:
        return None
    group = torch.arange(len(scale)).unsqueeze(1)
    if scheme.zero_point_domain is ZeroPointDomain.FLOAT:
        return ((group * _GOLDEN % 1 - 0.4) * 16 * scale.double()).to(dtype)
    return (group * 7 % int(scheme.qmax - scheme.qmin + 1) + scheme.qmin).to(dtype)


def all_codes(scheme: ResolvedScheme, groups: int) -> Tensor:
    """[groups, SIZE] codes, the whole grid and both its ends, in the dtype that stores them."""
    count = int(scheme.qmax - scheme.qmin) + 1
    places = torch.arange(groups * SIZE).reshape(groups, SIZE)
    step = 1 if count <= SIZE else 37
    codes = places * step % count + int(scheme.qmin)
    codes[:, 0], codes[:, -1] = int(scheme.qmin), int(scheme.qmax)
    return codes.to(storage_dtype(int(scheme.qmin), int(scheme.qmax)))
