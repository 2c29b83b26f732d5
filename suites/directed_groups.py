"""Groups of values aimed at where two formulas part: ties of the scale, stored and unrounded, and edges of dtypes."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache

import torch
from torch import Tensor

from parity.bits import bits
from quant import TensorScheme, ZeroPointDomain, choose_qparams
from quant.granularity import PerGroup

SIZE = 32  # elements a group
FLOATS = (torch.float32, torch.bfloat16, torch.float16)
_INTEGER_OF = {torch.float32: torch.int32, torch.bfloat16: torch.int16, torch.float16: torch.int16}
_SHAPES = ((-1.0, 1.0), (-0.63, 1.0), (-1.0, 0.21), (0.0, 0.77), (-0.91, 0.0), (0.55, 0.83), (-0.9, -0.42))


@lru_cache(maxsize=4096)
def directed(scheme: TensorScheme, dtype: torch.dtype, *, finite: bool = True) -> Tensor:
    """[groups, SIZE] of `dtype` for a scheme whatever its granularity; with NaN and infinities unless `finite`.

    Each range (min, max) fixes a scale, and the other elements are laid at (k + 1/2) times that scale, as it is stored
    and as it was before its rounding, and one step of `dtype` to either side, for codes k in and around the grid.
    """
    ranges = _ranges(dtype)
    rows = ranges.new_zeros(len(ranges), SIZE)
    rows[:, :2] = ranges
    if not scheme.preserve_zero:
        rows[:, 2:] = ranges[:, 1:]
    rows = _with_ties(rows, scheme, dtype)
    if finite:
        return rows
    special = torch.tensor([torch.nan, torch.inf, -torch.inf], dtype=dtype)
    broken = rows[-3 * len(_SHAPES) :].clone()
    broken[:, 5] = special.repeat(len(_SHAPES))
    return torch.cat([rows, broken])


def same_bits(a: Tensor | None, b: Tensor | None) -> bool:
    """Equal dtype, shape and bits, any two NaN being equal."""
    if a is None or b is None:
        return a is b
    return a.dtype is b.dtype and a.shape == b.shape and bool((bits(a.detach()) == bits(b.detach())).all())


def _ranges(dtype: torch.dtype) -> Tensor:
    """(min, max) of every group: seven shapes in binades over the whole range of the dtype, constants, the extremes."""
    info = torch.finfo(dtype)
    lowest, highest = (-24, 15) if dtype is torch.float16 else (-140, 126)
    step = 3 if dtype is torch.float16 else 14
    pairs = [
        (low * 2.0**e, high * 2.0**e)
        for e in (*range(lowest, highest, step), -9, -2, -1, 0, 1, 2)
        for low, high in _SHAPES
    ]
    pairs += [(0.0, 0.0), (-0.0, -0.0), (0.3, 0.3), (-0.3, -0.3), (0.0, info.tiny), (-info.smallest_normal / 2, 0.0)]
    pairs += [(-info.max, info.max), (0.0, info.max), (-info.max, 0.0), (-info.max / 2, info.max / 2)]
    return torch.tensor(pairs, dtype=torch.float64).to(dtype)


def _with_ties(rows: Tensor, scheme: TensorScheme, dtype: torch.dtype) -> Tensor:
    grouped = replace(scheme, granularity=PerGroup(SIZE))
    qparams = choose_qparams(rows, grouped)
    keeping = replace(grouped, rules=grouped.rules.with_values(code_scale="unrounded"))
    unrounded = choose_qparams(rows, keeping).unrounded_scale
    assert unrounded is not None
    mid = scheme.midpoint if scheme.zero_point_domain is ZeroPointDomain.FLOAT else None
    low, high = rows.amin(-1, keepdim=True).double(), rows.amax(-1, keepdim=True).double()
    filled = rows.clone()
    span = scheme.qmax - scheme.qmin + 2
    group = torch.arange(len(rows)).unsqueeze(1)
    for first, scale in ((2, qparams.scale), (16, unrounded)):
        column = torch.arange(first, min(first + 14, SIZE))
        k = (group * 13 + column * 37) % span + scheme.qmin - 1
        if mid is None:
            values = (k + 0.5) * scale.double()
        else:
            assert qparams.zero_point is not None
            values = (k + 0.5 - mid) * scale.double() + qparams.zero_point.double()
        laid = _stepped(values.to(dtype), (group + column) % 3 - 1)
        inside = (laid.double() >= low) & (laid.double() <= high)
        filled[:, first : first + 14] = torch.where(inside, laid, filled[:, first : first + 14])
    return filled


def _stepped(values: Tensor, steps: Tensor) -> Tensor:
    """Each value moved by -1, 0 or 1 in its bit pattern, where that stays finite and nonzero."""
    integer = _INTEGER_OF[values.dtype]
    moved = (values.view(integer) + steps.to(integer)).view(values.dtype)
    return torch.where(values.isfinite() & (values != 0) & moved.isfinite(), moved, values)
