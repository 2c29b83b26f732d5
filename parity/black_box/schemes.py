"""The small schemes on which a box is asked: every domain, mapping and pair of dtypes, on narrow and wide grids."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any, Final

import torch

from quant import Mapping, PerGroup, Rules, TensorScheme, ZeroPointDomain
from quant.mapping import Extent
from quant.scheme import MODEL, ResolvedScheme

SIZE: Final = 32  # elements of a row, which share a scale
FP32, BF16, FP16, FP64 = torch.float32, torch.bfloat16, torch.float16, torch.float64

# (input, stored scale); a scale narrower than the input first, and fp16, whose subnormals are near, last.
DTYPES: Final = (
    *((FP32, BF16), (FP32, FP32), (BF16, BF16), (BF16, FP32), (FP32, FP64), (BF16, FP64)),
    *((FP32, FP16), (BF16, FP16), (FP16, FP16), (FP16, FP32), (FP16, BF16), (FP16, FP64)),
)


@dataclass(frozen=True, slots=True)
class Grid:
    """bits with the least and the greatest code."""

    bits: int
    qmin: int
    qmax: int

    @property
    def span(self) -> int:
        """Steps from one end to the other."""
        return self.qmax - self.qmin


# Enough of them where another kind of the same domain has them all: each way to be equal, narrower or wider.
SOME_DTYPES: Final = tuple(DTYPES[i] for i in (0, 2, 3, 4, 8, 9))

INT2, INT4, INT8, INT14 = Grid(2, -2, 1), Grid(4, -8, 7), Grid(8, -128, 127), Grid(14, -8192, 8191)
ODD4, ODD8 = Grid(4, -7, 7), Grid(8, -127, 127)  # an odd qmin tells r(qmin - d) from qmin - r(d)
UINT4, UINT8, UINT14 = Grid(4, 0, 15), Grid(8, 0, 255), Grid(14, 0, 16383)


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """A scheme but for its dtypes and eps."""

    grid: Grid
    mapping: Mapping = Mapping.SYMMETRIC
    domain: ZeroPointDomain = ZeroPointDomain.INT
    zero_point: Any = torch.int32
    preserve_zero: bool = True
    extent: Extent = Extent.MIN_MAX
    dtypes: tuple[tuple[torch.dtype, torch.dtype], ...] = SOME_DTYPES

    def scheme(self, dtype: torch.dtype, scale: torch.dtype, eps: float, rules: Rules) -> ResolvedScheme:
        """Resolved for a tensor of `dtype`. Raises ValueError where the rules give it no meaning."""
        return _resolved(self, dtype, scale, eps, rules)


@lru_cache(maxsize=4096)
def _resolved(kind: Kind, dtype: torch.dtype, scale: torch.dtype, eps: float, rules: Rules) -> ResolvedScheme:
    return TensorScheme(
        bits=kind.grid.bits,
        qmin=kind.grid.qmin,
        qmax=kind.grid.qmax,
        granularity=PerGroup(SIZE),
        extent=kind.extent,
        mapping=kind.mapping,
        preserve_zero=kind.preserve_zero,
        zero_point_domain=kind.domain,
        zero_point_dtype=kind.zero_point,
        scale_dtype=scale,
        eps=eps,
        rules=rules,
    ).resolved(dtype)


def _absent(grid: Grid, mapping: Mapping = Mapping.SYMMETRIC) -> Kind:
    return Kind(grid=grid, mapping=mapping, domain=ZeroPointDomain.NONE, zero_point=None)


def _asymmetric(grid: Grid, zero_point: Any = torch.int32, *, preserve_zero: bool = True) -> Kind:
    return Kind(grid=grid, mapping=Mapping.ASYMMETRIC, zero_point=zero_point, preserve_zero=preserve_zero)


def _float(grid: Grid, zero_point: Any = MODEL) -> Kind:
    return Kind(
        grid=grid,
        mapping=Mapping.ASYMMETRIC,
        domain=ZeroPointDomain.FLOAT,
        zero_point=zero_point,
        preserve_zero=False,
    )


# Without a zero point first: the fewest decisions act there, so that those of scale and rounding are found alone.
KINDS: Final = (
    replace(_absent(INT8), dtypes=DTYPES),
    _absent(ODD4, Mapping.SYMMETRIC_NO_CLIPPING),
    Kind(grid=INT4),
    Kind(grid=INT8, zero_point=torch.int8),
    Kind(grid=INT4, zero_point=torch.int8, mapping=Mapping.SYMMETRIC_NO_CLIPPING),
    Kind(grid=INT4, extent=Extent.ABS_MEAN),
    Kind(grid=UINT14),
    Kind(grid=UINT14, zero_point=FP32),
    replace(_asymmetric(INT8, torch.int8), dtypes=DTYPES),
    _asymmetric(INT8),
    _asymmetric(ODD4, FP32),
    _asymmetric(ODD8, preserve_zero=False),
    _asymmetric(INT2, preserve_zero=False),
    _asymmetric(INT14),
    _asymmetric(INT14, FP32),
    replace(_float(UINT4, FP32), dtypes=DTYPES),
    _float(UINT8),
    _float(UINT14, FP32),
    _float(INT4, FP32),
    _float(UINT4, torch.int32),
)

# Enough of them for numbers that are not ordinary.
SPECIAL_KINDS: Final = tuple(
    replace(kind, dtypes=DTYPES)
    for kind in (
        _absent(INT8),
        Kind(grid=INT4),
        Kind(grid=INT4, zero_point=torch.int8, mapping=Mapping.SYMMETRIC_NO_CLIPPING),
        _asymmetric(INT8, torch.int8),
        _asymmetric(ODD8, preserve_zero=False),
        _float(UINT4, FP32),
    )
)
