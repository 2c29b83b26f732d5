"""nearest_tie(pair) = where the exact quotient of the first element with two codes lies, between codes and to a tie."""

from __future__ import annotations

from fractions import Fraction
from math import floor, isfinite

import torch
from torch import Tensor

from parity.blames import OPERANDS
from parity.diff import diff_stage
from parity.kept_explanation import Place, Tie
from parity.oracle.declared import Declared
from parity.pair import Pair, Side
from quant import Mapping, TensorScheme, ZeroPointDomain
from quant import decisions as d
from quant.granularity import groups_of


def nearest_tie(pair: Pair) -> Tie | None:
    """Of the case to be explained; None where no code differs, or no stage holds what the quotient is made of."""
    for operand in OPERANDS:
        stage = f"{operand}.codes"
        if stage not in pair.stages:
            continue
        first = diff_stage(stage, pair.a.traces[0][stage].tensor, pair.b.traces[0][stage].tensor).first_index
        if first is None:
            continue
        own = [side.cases[0].weight if operand == "weight" else side.cases[0].x for side in (pair.a, pair.b)]
        if own[0][first] != own[1][first]:  # each lane has trained a value of its own
            continue
        a, b = (_place(side, operand, x.cpu(), first) for side, x in zip((pair.a, pair.b), own, strict=True))
        if a is not None and b is not None:
            return Tie(stage=stage, index=first, x=float(own[0][first]).hex(), places=(a, b))
    return None


def _place(side: Side, operand: str, x: Tensor, index: tuple[int, ...]) -> Place | None:
    declared = side.scheme.weight if operand == "weight" else side.scheme.activation
    if declared is None or declared.zero_point_domain is ZeroPointDomain.FLOAT:  # its origin stands in no stage
        return None
    trace, groups = side.traces[0], groups_of(declared.granularity, tuple(x.shape))

    def at(name: str) -> float | None:
        """A qparam of the element's group."""
        found = trace.find(f"{operand}.{name}")
        if found is None:
            return None
        spread = groups.spread(found.tensor.detach().cpu()).expand(groups.view)
        return float(groups.join(spread)[index])

    scale, value = at("scale"), float(x[index])
    if scale is None or not (isfinite(value) and isfinite(scale)) or scale == 0:
        return None
    quotient = Fraction(value) / Fraction(scale)
    exact = quotient + Fraction(_offset(declared, at("zero_point")))
    tie = floor(exact) + Fraction(1, 2)
    return Place(
        lane=str(side.lane),
        scale=scale.hex(),
        exact=float(exact),
        tie=float(tie),
        ulps=float(abs(exact - tie) / _ulp(quotient, declared, x.dtype)),
        code=float(trace[f"{operand}.codes"].tensor[index]),
    )


def _offset(scheme: TensorScheme, stored: float | None) -> float:
    """What is added to x / scale, as the codes count: a stored offset is undone, a grid of halves has its own."""
    if scheme.mapping is Mapping.STRETCHED:
        return scheme.constant_zero_point
    if stored is None:
        return 0.0
    return stored + (scheme.rules.zero_point_offset is d.ZeroPointOffset.MINUS_ONE)


def _ulp(quotient: Fraction, scheme: TensorScheme, dtype: torch.dtype) -> Fraction:
    """The spacing of the dtype that the quotient is rounded to, there; towards 0, the one at a half."""
    form = Declared.of(scheme, dtype, dtype).code
    return Fraction(2) ** int(form.step_exponents(max(float(abs(quotient)), 0.5)))
