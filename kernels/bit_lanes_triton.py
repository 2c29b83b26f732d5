"""Words that hold one element or two of 16 bits, as a kernel compares them: order, distance, NaN, powers of two.

A lane is the part of a word that holds an element. Every word is unsigned, of 32 bits, whatever it stands for.
"""

from __future__ import annotations

import triton
import triton.language as tl


@triton.jit
def bits_of(word):
    """A stored word in 32 bits."""
    if word.dtype == tl.int16:
        wide = word.to(tl.uint16, bitcast=True).to(tl.uint32)
    else:
        wide = word.to(tl.uint32, bitcast=True)
    return wide


@triton.jit
def _ordered(word, WIDTH: tl.constexpr, ONES: tl.constexpr, ZEROS_APART: tl.constexpr):
    """Each lane as an unsigned integer that grows with the number it stands for."""
    negative = (word >> (WIDTH - 1)) & ONES
    ordered = word ^ ((negative * ((1 << (WIDTH - 1)) - 1)) | (ONES << (WIDTH - 1)))
    if not ZEROS_APART:
        ordered += negative
    return ordered


@triton.jit
def greatest_lanes(a, b, LANES: tl.constexpr, NATIVE: tl.constexpr):
    """The greater of two words, lane by lane. NATIVE: by one instruction for both lanes."""
    if LANES == 1:
        greatest = tl.maximum(a, b)
    elif NATIVE:
        greatest = tl.inline_asm_elementwise(
            "max.u16x2 $0, $1, $2;", "=r,r,r", [a, b], dtype=tl.uint32, is_pure=True, pack=1
        )
    else:
        greatest = tl.maximum(a & 0xFFFF, b & 0xFFFF) | tl.maximum(a & 0xFFFF0000, b & 0xFFFF0000)
    return greatest


@triton.jit
def least_lanes(a, b, LANES: tl.constexpr, NATIVE: tl.constexpr):
    """The lesser of two words, lane by lane, as greatest_lanes."""
    if LANES == 1:
        least = tl.minimum(a, b)
    elif NATIVE:
        least = tl.inline_asm_elementwise(
            "min.u16x2 $0, $1, $2;", "=r,r,r", [a, b], dtype=tl.uint32, is_pure=True, pack=1
        )
    else:
        least = tl.minimum(a & 0xFFFF, b & 0xFFFF) | tl.minimum(a & 0xFFFF0000, b & 0xFFFF0000)
    return least


@triton.jit
def ends(a, b, WIDTH: tl.constexpr, LANES: tl.constexpr, ZEROS_APART: tl.constexpr, NATIVE: tl.constexpr):
    """(least, greatest) of two words in the order of their numbers; their difference is the distance."""
    ONES: tl.constexpr = 0x00010001 if LANES == 2 else 1
    a, b = _ordered(a, WIDTH, ONES, ZEROS_APART), _ordered(b, WIDTH, ONES, ZEROS_APART)
    return least_lanes(a, b, LANES, NATIVE), greatest_lanes(a, b, LANES, NATIVE)


@triton.jit
def some_nan(
    least, greatest, WIDTH: tl.constexpr, LANES: tl.constexpr, LARGEST: tl.constexpr, ZEROS_APART: tl.constexpr
):
    """Whether a lane of the least lies before -infinity, or one of the greatest after +infinity."""
    TOP: tl.constexpr = 1 << (WIDTH - 1)
    FIRST: tl.constexpr = TOP - 1 - LARGEST + (0 if ZEROS_APART else 1)
    LAST: tl.constexpr = TOP + LARGEST
    if LANES == 2:
        found = ((least & 0xFFFF) < FIRST) | ((least >> 16) < FIRST)
        found |= ((greatest & 0xFFFF) > LAST) | ((greatest >> 16) > LAST)
    else:
        found = (least < FIRST) | (greatest > LAST)
    return tl.max(found.to(tl.int32), 0) > 0


@triton.jit
def parted(
    a,
    b,
    WIDTH: tl.constexpr,
    LANES: tl.constexpr,
    LARGEST: tl.constexpr,
    ZEROS_APART: tl.constexpr,
    NANS_ALIKE: tl.constexpr,
    NATIVE: tl.constexpr,
):
    """(distance, the top bit of lanes): the distance is 0 where a lane has a NaN; the bit tells incomparable lanes."""
    ONES: tl.constexpr = 0x00010001 if LANES == 2 else 1
    MAGNITUDES: tl.constexpr = ((1 << (WIDTH - 1)) - 1) * ONES
    TOPS: tl.constexpr = ONES << (WIDTH - 1)
    BEYOND: tl.constexpr = ((1 << (WIDTH - 1)) - 1 - LARGEST) * ONES  # carries a NaN's magnitude into the top bit
    least, greatest = ends(a, b, WIDTH, LANES, ZEROS_APART, NATIVE)
    nan_a, nan_b = (a & MAGNITUDES) + BEYOND, (b & MAGNITUDES) + BEYOND
    nan = (nan_a | nan_b) & TOPS
    distance = (greatest - least) & (((nan >> (WIDTH - 1)) * ((1 << WIDTH) - 1)) ^ 0xFFFFFFFF)
    if NANS_ALIKE:
        tops = (nan_a ^ nan_b) & TOPS
    else:
        unequal = a ^ b
        tops = nan & (((unequal & MAGNITUDES) + MAGNITUDES) | unequal)
    return distance, tops


@triton.jit
def reached(distance, WIDTH: tl.constexpr, LANES: tl.constexpr):
    """Bit k of a lane: whether its distance is 2^k or more."""
    for i in tl.static_range(5):
        if (1 << i) < WIDTH:
            below = distance >> (1 << i)
            if LANES == 2:
                below &= (0xFFFF >> (1 << i)) * 0x00010001
            distance |= below
    return distance
