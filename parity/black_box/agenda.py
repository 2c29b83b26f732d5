"""What a box is asked, in order: each question is made from numbers alone or from what the box chose just before.

Ordinary numbers first, which leave the decisions about NaN, infinities, overflow and eps idle, so that few decisions
act at once; then those decisions, with the others known. Questions made from numbers alone are the same for every box.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import lru_cache
from typing import Final

import torch
from torch import Tensor

from parity.backends.functions import Functions
from parity.black_box.given import dequantize_questions, quantize_questions
from parity.black_box.question import Answer, Question, Step
from parity.black_box.schemes import FP16, KINDS, SPECIAL_KINDS, Kind
from parity.black_box.values import all_codes, ordinary_ranges, ranges_at, rows, with_ties
from quant import Rules
from quant.scheme import ResolvedScheme

Wanted = Callable[[Question], bool]

# No dtype rounds it away, and no ordinary scale comes near.
SMALL_EPS: Final = 2.0**-14


def agenda(box: Functions, rules: Rules, wanted: Wanted) -> Iterator[Question]:
    """Every question that is wanted; `rules` are what the schemes declare, which a black box does not read."""
    ordinary, special = ordinary_choices(rules), special_choices(rules)
    yield from filter(wanted, (*ordinary, *special))
    for chosen in ordinary:
        yield from _followed(box, chosen, wanted)
    yield from filter(wanted, quantize_questions(rules))
    yield from filter(wanted, dequantize_questions(rules))
    for chosen in special:
        yield from _followed(box, chosen, wanted)


@lru_cache(maxsize=8)
def ordinary_choices(rules: Rules) -> tuple[Question, ...]:
    """choose_qparams on ranges around 1, for every kind of scheme and every pair of dtypes."""
    return tuple(
        Question(step=Step.CHOOSE, scheme=scheme, x=rows(ordinary_ranges(kind.grid, dtype)), output=dtype)
        for kind in KINDS
        for dtype, scale in kind.dtypes
        for scheme in _meant(kind, dtype, scale, SMALL_EPS, rules)
    )


@lru_cache(maxsize=8)
def special_choices(rules: Rules) -> tuple[Question, ...]:
    """choose_qparams where eps bounds the scale, where scales overflow or vanish, and beside NaN and infinities."""
    return tuple(
        question
        for kind in SPECIAL_KINDS
        for dtype, scale in kind.dtypes
        for question in _special_choices(kind, dtype, scale, rules)
    )


def _special_choices(kind: Kind, dtype: torch.dtype, scale: torch.dtype, rules: Rules) -> Iterator[Question]:
    half, span, top = FP16 in (dtype, scale), kind.grid.span, torch.finfo(dtype).max
    tiny = 2.0**-24 if half else 2.0**-130
    # A trifle above a tie of the narrower dtype: rounded twice it falls, rounded once it rises.
    eps_at_tie = 2.0**-7 * (1 + (2.0**-11 if half else 2.0**-8) + 2.0**-30)
    near_eps = (ranges_at(0.01 * span, dtype, range(-5, 4)), ranges_at(0.01, dtype, range(-5, 4)))
    vanishing = (ranges_at(tiny * span, dtype, range(-3, 14, 2)), torch.zeros(2, 2, dtype=dtype))
    beyond = (ranges_at(min(top, 2.0**17 * span), dtype, range(-6, 1)), ranges_at(top, dtype, range(-5, 1)))
    for eps, ranges in ((eps_at_tie, near_eps), (tiny, vanishing), (SMALL_EPS, beyond)):
        x = torch.cat([rows(each) for each in ranges] + [_broken(dtype)] * (ranges is beyond))
        for scheme in _meant(kind, dtype, scale, eps, rules):
            yield Question(step=Step.CHOOSE, scheme=scheme, x=x, output=dtype, ordinary=False)


def _meant(kind: Kind, dtype: torch.dtype, scale: torch.dtype, eps: float, rules: Rules) -> Iterator[ResolvedScheme]:
    try:
        yield kind.scheme(dtype, scale, eps, rules)
    except ValueError:  # the declared rules refuse this kind for these dtypes
        return


def _broken(dtype: torch.dtype) -> Tensor:
    """A NaN, an infinity or both in a group of ordinary values."""
    specials = ((torch.nan,), (torch.inf,), (-torch.inf,), (torch.inf, -torch.inf), (torch.nan, torch.inf))
    groups = rows(torch.tensor([[-1.0, 0.75]], dtype=torch.float64)).repeat(len(specials), 1)
    for group, special in zip(groups, specials, strict=True):
        group[2 : 2 + len(special)] = torch.tensor(special, dtype=torch.float64)
    return groups.to(dtype)


def _followed(box: Functions, chosen: Question, wanted: Wanted) -> Iterator[Question]:
    """quantize and dequantize with the scale and zero point that the box chooses for x."""
    stored = wanted(replace(chosen, step=Step.QUANTIZE, own=True))
    read_back = wanted(replace(chosen, step=Step.DEQUANTIZE, own=True))
    if not (stored or read_back):
        return
    answer = chosen.asked(box)
    if answer is not None and chosen.ordinary:
        chosen = replace(chosen, x=with_ties(chosen.x[:, :2], *_qparams(answer), chosen.scheme))
        answer = chosen.asked(box)  # the last x that the box saw is the one whose scale it is given back
    if answer is None:
        return
    scale, zero_point = _qparams(answer)
    given = replace(chosen, step=Step.QUANTIZE, scale=scale, zero_point=zero_point, own=True)
    if stored:
        yield given
    codes = given.asked(box) if read_back else None
    if codes is not None:
        yield replace(given, step=Step.DEQUANTIZE, codes=codes.tensors[0])
    if read_back:
        yield replace(given, step=Step.DEQUANTIZE, codes=all_codes(chosen.scheme, len(scale)))


def _qparams(answer: Answer) -> tuple[Tensor, Tensor | None]:
    return answer.tensors[0], answer.tensors[1] if len(answer.tensors) > 1 else None
