"""How a group of values is filled so that it lands where formulas part: one function a kind, words in, values out.

Every function takes int64 words [m, n] (m groups of n values) and what is known of the scheme, and returns float64
[m, n] that is rounded to the tensor's dtype afterwards, except the ties, which are laid in that dtype, one ulp apart.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Final

import torch
from torch import Tensor

from quant import Mapping as RangeMapping
from quant import Own, PerToken, QParams, TensorScheme, ZeroPointDomain, choose_qparams
from quant.mapping import Extent

INTEGER_OF: Final = {torch.float32: torch.int32, torch.bfloat16: torch.int16, torch.float16: torch.int16}


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """What the filled groups will meet: their dtype, the resolved scheme that will choose their scale, and how."""

    dtype: torch.dtype
    scheme: TensorScheme | None
    choose: Callable[[Tensor, TensorScheme], QParams] = choose_qparams


Fill = Callable[[Tensor, Target], Tensor]


def field(words: Tensor, low: int, bits: int) -> Tensor:
    """`bits` bits of each word from bit `low` up, as int64 in [0, 2**bits)."""
    return (words >> low) & ((1 << bits) - 1)


def bell(words: Tensor) -> Tensor:
    """Three 16-bit uniforms summed and centred, 16 bits more below them, over 2**32: near normal, deviation 0.5.

    34 bits, exact in float64 and more than fp32 holds, so its low bits are as random as its high ones.
    """
    total = field(words, 0, 16) + field(words, 16, 16) + field(words, 32, 16)
    return (((total - 98303) << 16) + field(words, 48, 16)).double() * 2.0**-32


def peaks(words: Tensor) -> Tensor:
    """[m, 1] positive magnitudes (1 + i/128) * 2**e, e in [-4, 3], that bf16 and fp16 hold exactly."""
    first = words[:, :1]
    return torch.ldexp(1 + field(first, 8, 7).double() / 128, field(first, 16, 3) - 4)


def signs(words: Tensor) -> Tensor:
    """+1.0 or -1.0 for each word."""
    return 1.0 - 2.0 * field(words, 40, 1).double()


def random(words: Tensor, target: Target) -> Tensor:
    """Near-normal values."""
    return bell(words)


def one_sided(words: Tensor, target: Target) -> Tensor:
    """All of one sign and away from zero: in +-[3, 4]."""
    return signs(words[:, :1]) * (3 + field(words, 0, 20).double() * 2.0**-20)


def outlier(words: Tensor, target: Target) -> Tensor:
    """Small values and one that is 2**9 times larger."""
    values = bell(words) * 2.0**-6
    values[:, 0] = signs(words)[:, 0] * 8.0 * peaks(words)[:, 0]
    return values


def zeros(words: Tensor, target: Target) -> Tensor:
    """Nothing but +0."""
    return torch.zeros(words.shape, dtype=torch.float64)


def signed_zeros(words: Tensor, target: Target) -> Tensor:
    """+0 and -0, and in every other group one value that is neither."""
    values = torch.zeros(words.shape, dtype=torch.float64).copysign(signs(words))
    values[::2, -1] = peaks(words)[::2, 0]
    return values


def constant(words: Tensor, target: Target) -> Tensor:
    """One value throughout."""
    return (signs(words[:, :1]) * peaks(words)).expand(words.shape).clone()


def eps_edge(words: Tensor, target: Target) -> Tensor:
    """Ranges whose scale lies at eps, a few 2**-8 beside it, and far below.

    Asymmetric ones have their zero point near an end of the grid: on a code where the scale is eps, else 3/8 beyond
    one, which 8 bits round to the tie between two codes after subtracting it, and not before.
    """
    scheme = target.scheme
    if scheme is None:
        return bell(words) * 2.0**-20
    assert isinstance(scheme.eps, float)
    steps = scheme.qmax - scheme.qmin
    asymmetric = scheme.mapping == RangeMapping.ASYMMETRIC
    edge = scheme.eps * (steps if asymmetric else steps / 2)
    edge = min(edge, torch.finfo(target.dtype).max / 4)
    factor = 1 + (field(words[:, :1], 20, 3).double() - 3) * 2.0**-8
    factor = torch.where(field(words[:, :1], 24, 2) == 0, factor * 2.0**-6, factor)
    if asymmetric and words.shape[1] > 1:
        below = (field(words[:, :1], 26, 5) % int(steps)).double() + torch.where(factor == 1, 0.0, 0.375)
        low, high = (edge / steps * end * factor for end in (-below, steps - below))
        values = low + (high - low) * field(words, 0, 16).double() * 2.0**-16
        values[:, :1], values[:, -1:] = low, high
        return values * signs(words[:, :1])
    values = bell(words) / 2 * edge * factor
    values[:, 0] = (edge * factor * signs(words[:, :1]))[:, 0]
    return values


def subnormal(words: Tensor, target: Target) -> Tensor:
    """Small multiples of the dtype's smallest subnormal."""
    tiny = torch.finfo(target.dtype).smallest_normal * torch.finfo(target.dtype).eps
    return (field(words, 0, 6).double() - 32) * tiny


def huge(words: Tensor, target: Target) -> Tensor:
    """Magnitudes from a quarter of the largest finite value up to it: sums and scales overflow in fp16."""
    largest = torch.finfo(target.dtype).max
    values = signs(words) * largest * (0.25 + 0.5 * field(words, 0, 10).double() / 1024)
    values[:, 0] = signs(words)[:, 0] * largest
    return values


def integers(words: Tensor, target: Target) -> Tensor:
    """Codes and half codes of a scale that is a power of two, both ends of the grid among them.

    x / s is then exact however it is computed. Zero points lie at the grid's ends, beside them and around 0, so that
    codes minus zero points reach from qmin - qmax to qmax - qmin; and between 0 and 1, where the dtype holds it.
    """
    power = torch.ldexp(torch.ones(len(words), 1, dtype=torch.float64), field(words[:, :1], 16, 3) - 6)
    low, high = _ends(words, target.scheme, target.dtype)
    values = low + (field(words, 0, 20) % (2 * (high - low) + 1).long()).double() / 2
    values[:, :1] = low
    if target.scheme is not None and target.scheme.mapping == RangeMapping.ASYMMETRIC:
        values[:, -1:] = high
    return values * power


def _ends(words: Tensor, scheme: TensorScheme | None, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """[m, 1] each: the ends of a range, in steps of the scale that this range is given."""
    qmin, qmax = (-128, 127) if scheme is None else (scheme.qmin, scheme.qmax)
    if scheme is None or scheme.mapping != RangeMapping.ASYMMETRIC:
        clips = scheme is not None and scheme.mapping == RangeMapping.SYMMETRIC
        ends = ((qmin - qmax) / 2, (qmax - qmin) / 2) if clips else (qmin, qmax)
        low, high = (torch.full((len(words), 1), float(end), dtype=torch.float64) for end in ends)
        return low, high
    exact = torch.tensor([qmin - 0.5, qmax - 0.5], dtype=torch.float64)
    half = 0.5 if torch.equal(exact.to(dtype).double(), exact) else qmin + 1
    # Odd ones part most rules; one on a tie parts those that round it.
    chosen = torch.tensor([qmin, qmax, half, 0, 1, -1, 3, -3], dtype=torch.float64)
    zero_point = chosen[field(words[:, :1], 24, 3)].clamp(qmin, qmax)
    return qmin - zero_point, qmax - zero_point


def specials(words: Tensor, target: Target) -> Tensor:
    """NaN, +inf or -inf among near-normal values, or both infinities, or nothing but NaN."""
    values = bell(words)
    kind = field(words[:, 0], 20, 3) % 5
    last = words.shape[1] - 1
    for chosen, places, value in (
        (0, (0,), torch.nan),
        (1, (last,), torch.inf),
        (2, (last,), -torch.inf),
        (3, (0,), torch.inf),
        (3, (last,), -torch.inf),
    ):
        for place in places:
            values[kind == chosen, place] = value
    values[kind == 4] = torch.nan
    return values


def stored_ties(words: Tensor, target: Target) -> Tensor:
    """(k + 1/2) times the scale as it is stored, on the tie and one ulp to either side."""
    return _ties(words, target, unrounded=False)


def unrounded_ties(words: Tensor, target: Target) -> Tensor:
    """(k + 1/2) times the scale as it was before it was rounded to its stored dtype."""
    return _ties(words, target, unrounded=True)


def _ties(words: Tensor, target: Target, *, unrounded: bool) -> Tensor:
    scheme, dtype = target.scheme, target.dtype
    if scheme is None:
        return bell(words)
    # 1. A skeleton of two values fixes the range, and with it the scale the group will get.
    peak = peaks(words)
    skeleton = torch.zeros(words.shape, dtype=torch.float64)
    skeleton[:, :1] = peak * signs(words[:, :1])
    if scheme.mapping == RangeMapping.ASYMMETRIC and words.shape[1] > 1:
        opposite = field(words[:, :1], 24, 7).double() / 128
        skeleton[:, 1:2] = -skeleton[:, :1] * opposite
    skeleton = skeleton.to(dtype)
    # A stored dtype that rounds nothing gives the scale as it was before rounding, and so the nearest that can be said
    # of one on two levels, which the other groups have a part in.
    exact = unrounded or scheme.global_scale_dtype is not None
    aim = replace(
        scheme,
        granularity=PerToken(),
        statistic=Own(),
        scale_dtype=torch.float64 if exact else scheme.scale_dtype,
        global_scale_dtype=None,
        extent=Extent.MIN_MAX,
    )
    chosen = target.choose(skeleton, aim)
    # 2. Every other value sits half-way between two codes of that scale: at whole steps of a grid of halves, where they
    # stay inside the grid, so that their mean is large and the range their greatest.
    span = int(scheme.qmax - scheme.qmin)
    if scheme.mapping == RangeMapping.STRETCHED:
        steps = (field(words, 0, 14) % span - span // 2).double()
    else:
        steps = (field(words, 0, 14) % (2 * span + 1) - span).double() + 0.5
    ties = steps * chosen.scale.double()
    if scheme.zero_point_domain == ZeroPointDomain.FLOAT:
        assert chosen.zero_point is not None
        ties = ties + chosen.zero_point.double()
    laid = _beside(ties.to(dtype), field(words, 50, 2) - 1)
    # 3. What would widen the range stays out of it.
    low, high = skeleton.amin(1, keepdim=True), skeleton.amax(1, keepdim=True)
    if scheme.mapping != RangeMapping.ASYMMETRIC:
        low, high = -torch.maximum(-low, high), torch.maximum(-low, high)
    values = torch.where((laid >= low) & (laid <= high), laid, torch.zeros((), dtype=dtype))
    values[:, :2] = skeleton[:, :2]
    return values.double()


def _beside(values: Tensor, ulps: Tensor) -> Tensor:
    """The values moved by -1, 0, +1 (or +2) steps along their dtype; zeros and what is not finite stay."""
    moved = (values.view(INTEGER_OF[values.dtype]) + ulps.to(INTEGER_OF[values.dtype])).view(values.dtype)
    return torch.where(moved.isfinite() & (values != 0), moved, values)


# Ties come most often: they separate the most fields.
FAMILY_FILLS: Final[Mapping[str, tuple[Fill, ...]]] = {
    "directed": (
        stored_ties,
        unrounded_ties,
        eps_edge,
        stored_ties,
        integers,
        one_sided,
        stored_ties,
        zeros,
        outlier,
        unrounded_ties,
        constant,
        subnormal,
        random,
        huge,
        signed_zeros,
        stored_ties,
    ),
    "random": (random,),
    "ties": (stored_ties, unrounded_ties),
    "eps_edge": (eps_edge,),
    "outlier": (outlier,),
    "one_sided": (one_sided,),
    "zeros": (zeros, signed_zeros, constant),
    "subnormal": (subnormal,),
    "huge": (huge,),
    "integers": (integers,),
    "specials": (specials,),
}

# Families with fills that ask the scheme for a scale or an eps, so that a moved rule would move them too.
AIMED_FAMILIES: Final = frozenset(
    family for family, fills in FAMILY_FILLS.items() if {stored_ties, unrounded_ties, eps_edge}.intersection(fills)
)
