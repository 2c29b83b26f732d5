"""Rounding to odd: an inexact result takes the neighbour whose last bit is 1, so that a later rounding is the only one.

R_p(odd_q(v)) = R_p(v) for every v when q >= p + 2: the odd last bit remembers that something nonzero was dropped, and
never looks like a tie (Boldo and Melquiond, "Emulation of a FMA and correctly rounded sums", 2008). All functions here
work in float64 and keep infinities and NaN as plain arithmetic gives them.
"""

from collections.abc import Sequence

import torch
from torch import Tensor


def round_to_odd(x: Tensor, bits: int) -> Tensor:
    """odd_bits(x): float64 `x` cut to `bits` significant bits (2 to 52), the last one set if anything was dropped."""
    dropped = 2 ** (53 - bits) - 1  # mask of the bits to drop
    fields = x.view(torch.int64)
    carry = (fields & dropped).add_(dropped)  # reaches the last kept bit exactly when a dropped bit is set
    odd: Tensor = carry.bitwise_or_(fields).bitwise_and_(~dropped)
    return odd.view(torch.float64)


def two_sum(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    """s + e = a + b exactly, with s = R(a + b), for finite float64 that do not overflow (Knuth, TAOCP 2, 4.2.2)."""
    s = a + b
    b_part = s - a
    return s, (a - (s - b_part)) + (b - b_part)


def add_to_odd(a: Tensor, b: Tensor) -> Tensor:
    """odd_53(a + b): the float64 sum cut towards zero, its last bit set where the addition was inexact."""
    s, e = two_sum(a, b)
    fields = s.view(torch.int64)
    inexact = (e.abs() > 0).to(torch.int64)  # 0 where s is infinite or NaN: e is NaN there
    beyond = (fields ^ e.view(torch.int64)) >> 63  # -1 where s lies farther from zero than a + b, if inexact
    return beyond.bitwise_and_(-inexact).add_(fields).bitwise_or_(inexact).view(torch.float64)


def sum_to_odd(terms: Sequence[Tensor]) -> Tensor:
    """odd_53(terms[0] + terms[1] + ...): the exact sum of finite float64 tensors, rounded once, to odd.

    Shapes broadcast. Meant for few terms: the work grows with the square of their number.

    1. Grow an expansion term by term (Shewchuk, "Adaptive precision floating-point arithmetic", 1997, theorem 10). Its
       components are nonadjacent: each is smaller than half the last bit set in the next one.
    2. Add the components to odd from the smallest up. Nonadjacency leaves no deep cancellation, so the bit that
       remembers a dropped remainder stays the last bit of the sum or falls below it.
    """
    expansion: list[Tensor] = []
    for term in terms[:-1]:
        expansion.append(_carry_through(expansion, term))
    # The largest component of the last pass need not be split from the sum that step 2 would form anyway.
    total = _carry_through(expansion, terms[-1])
    if not expansion:
        return total
    odd = expansion[0]
    for component in (*expansion[1:], total):
        odd = add_to_odd(odd, component)
    return odd


def _carry_through(expansion: list[Tensor], term: Tensor) -> Tensor:
    """Adds `term` to the expansion in place, smallest component first; returns the new largest component."""
    for i, component in enumerate(expansion):
        term, expansion[i] = two_sum(term, component)
    return term
