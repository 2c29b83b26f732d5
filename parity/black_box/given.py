"""Questions with scales and zero points of our own: every code, every tie, and scales that no range would give."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import lru_cache
from typing import Final

import torch
from torch import Tensor

from parity.black_box.question import Question, Step
from parity.black_box.schemes import KINDS, Kind
from parity.black_box.values import all_codes, given_scales, given_zero_points, half_way
from quant import Rules, ZeroPointDomain
from quant.scheme import ResolvedScheme

_EPS: Final = 2.0**-14
_COLUMNS: Final = 32


@lru_cache(maxsize=8)
def quantize_questions(rules: Rules) -> tuple[Question, ...]:
    """quantize ties of the given scale and of its reciprocal; then NaN, infinities, and scales that are no scales."""
    found: list[Question] = []
    for kind in KINDS:
        for dtype, scale_dtype in kind.dtypes:
            for scheme in _meant(kind, dtype, scale_dtype, rules):
                scale = given_scales(scale_dtype)
                zero_point = given_zero_points(scheme, scale)
                x = _ties(scale, zero_point, scheme, dtype)
                plain = Question(step=Step.QUANTIZE, scheme=scheme, x=x, scale=scale, zero_point=zero_point)
                found += [replace(plain, output=dtype), *_special(replace(plain, output=dtype))]
    return tuple(found)


def _ties(scale: Tensor, zero_point: Tensor | None, scheme: ResolvedScheme, dtype: torch.dtype) -> Tensor:
    """[groups, _COLUMNS]: half-way between codes by the scale in even columns, by its stored reciprocal in odd ones."""
    wide = scale.double().expand(-1, _COLUMNS)
    by_reciprocal = 1 / (1 / scale.double()).to(scale.dtype).double().expand(-1, _COLUMNS)
    even = torch.arange(_COLUMNS) % 2 == 0
    return half_way(torch.where(even, wide, by_reciprocal), zero_point, scheme, dtype)


def _special(plain: Question) -> Iterator[Question]:
    """Values that no code stands for, and scales that are zero, subnormal, infinite, negative or NaN."""
    huge = plain.x.clone()
    top = torch.finfo(huge.dtype).max
    huge[:, :6] = torch.tensor([torch.inf, -torch.inf, top, -top, 0.0, -0.0], dtype=huge.dtype)
    beyond = replace(plain, x=huge, ordinary=False)
    yield beyond
    missing = plain.x.clone()
    missing[:, 3] = torch.nan
    yield replace(plain, x=missing, ordinary=False, finite=plain)
    assert plain.scale is not None
    odd = _odd_scales(plain.scale)
    size = odd.double().abs().nan_to_num(nan=1.0, posinf=1.0).clamp(min=torch.finfo(plain.scale.dtype).tiny)
    x = half_way(size.expand(-1, _COLUMNS), plain.zero_point, plain.scheme, plain.x.dtype)
    x[:, ::3] = plain.x[:, ::3].nan_to_num()
    yield replace(plain, x=x, scale=odd, ordinary=False)


def _odd_scales(scale: Tensor) -> Tensor:
    """Scales near the ends of their dtype and none at all, in turn, where there were scales."""
    info = torch.finfo(scale.dtype)
    ends = [0.0, torch.inf, torch.nan, -1.0, info.tiny, info.tiny * info.eps, info.tiny * 0.37, info.max, info.max / 3]
    ends += [1e-5, 3e-39, 7e4, 2e38]
    repeated = torch.tensor(ends, dtype=torch.float64).repeat(len(scale) // len(ends) + 1)[: len(scale)]
    return repeated.unsqueeze(1).to(scale.dtype)


@lru_cache(maxsize=8)
def dequantize_questions(rules: Rules) -> tuple[Question, ...]:
    """dequantize every code with scales whose products lie at ties of the output; then with scales that are none."""
    found: list[Question] = []
    for kind in KINDS:
        for dtype, scale_dtype in kind.dtypes:
            for scheme in _meant(kind, dtype, scale_dtype, rules):
                scale = torch.cat([given_scales(scale_dtype), _tied_scales(scale_dtype, dtype, scheme)])
                zero_point = given_zero_points(scheme, scale)
                if scheme.zero_point_domain is ZeroPointDomain.FLOAT:
                    assert zero_point is not None
                    zero_point = _near_cancelling(scale, zero_point, scheme)
                plain = Question(
                    step=Step.DEQUANTIZE,
                    scheme=scheme,
                    x=torch.zeros(1, dtype=dtype),
                    scale=scale,
                    zero_point=zero_point,
                    codes=all_codes(scheme, len(scale)),
                    output=dtype,
                )
                found += [plain, replace(plain, scale=_odd_scales(scale), ordinary=False)]
                small = (scale.double() * 2.0**-14).to(scale_dtype)
                found.append(replace(plain, scale=small, ordinary=False))
    return tuple(found)


def _tied_scales(dtype: torch.dtype, output: torch.dtype, scheme: ResolvedScheme) -> Tensor:
    """[groups, 1] scales t / q and a trifle more or less, t half-way between two values of the output, q a code."""
    found = []
    half_step = torch.finfo(output).eps / 2
    for i, q in enumerate((1, 3, 5, 7, int(scheme.qmax), 6, 11)):
        tie = 1 + (2 * (i * 11 % 50) + 1) * half_step
        found += [tie / q * (1 + more) for more in (0.0, 2.0**-26, -(2.0**-26), 2.0**-40, -(2.0**-40))]
    return torch.tensor(found, dtype=torch.float64).unsqueeze(1).to(dtype)


def _near_cancelling(scale: Tensor, zero_point: Tensor, scheme: ResolvedScheme) -> Tensor:
    """Zero points in whose groups some code nearly cancels, and others whose codes hardly move them."""
    group = torch.arange(len(scale)).unsqueeze(1)
    code = group * 5 % int(scheme.qmax - scheme.qmin + 1) + int(scheme.qmin)
    against = -(code - scheme.midpoint) * scale.double()
    chosen = torch.where(group % 3 == 0, against * (1 + 2.0**-12), zero_point.double())
    chosen = torch.where(group % 7 == 1, 2.0**20 * (1 + (2 * (group % 50) + 1) * 2.0**-9), chosen)
    return chosen.to(zero_point.dtype)


def _meant(kind: Kind, dtype: torch.dtype, scale: torch.dtype, rules: Rules) -> Iterator[ResolvedScheme]:
    try:
        yield kind.scheme(dtype, scale, _EPS, rules)
    except ValueError:  # the declared rules refuse this kind for these dtypes
        return
