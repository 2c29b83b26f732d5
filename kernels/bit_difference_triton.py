"""bit_difference on CUDA in one pass: two 16-bit elements a word, counted by bits that lie across many words.

1. A word's lanes are put in the order of their numbers, as unsigned integers; distances are subtractions there.
2. Every bit below the highest one of a distance is set: bit k of a lane tells that the distance has reached 2^k.
3. Such words are added up as 32 counters a word, one a bit, kept in planes: of ones, twos, fours and so on, each with
   a carry to the next (Harley and Seal's way to count bits). Only at the end are the planes taken apart.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from kernels.bit_line import BitLine

_TILE = 1024  # words that are looked at together
_TILES = 32  # of one program: what six planes hold


def counts(a: Tensor, b: Tensor, line: BitLine) -> Tensor:
    """int64 [35] on the device: how many distances reach 2^0, ..., 2^31, how many are incomparable, the greatest
    distance, and n less the first index.

    `a`, `b`: flat and contiguous int16 or int32; zeros stand for what there is none of. Nothing waits for the device.
    """
    n = a.numel()
    found = torch.zeros(35, dtype=torch.int64, device=a.device)
    if n:
        paired = line.width == 16 and n % 2 == 0 and a.data_ptr() % 4 == 0 and b.data_ptr() % 4 == 0
        words = (a.view(torch.int32), b.view(torch.int32)) if paired else (a, b)
        n_words = words[0].numel()
        _count[(triton.cdiv(n_words, _TILE * _TILES),)](
            *words,
            found,
            n_words,
            WIDTH=line.width,
            LANES=2 if paired else 1,
            LARGEST=line.largest,
            ZEROS_APART=line.zeros_apart,
            NANS_ALIKE=line.nans_alike,
            TILE=_TILE,
            TILES=_TILES,
            num_warps=8,
        )
    return found


@triton.jit
def _bits(word):
    """A stored word in 32 bits."""
    if word.dtype == tl.int16:
        wide = word.to(tl.uint16, bitcast=True).to(tl.uint32)
    else:
        wide = word.to(tl.uint32, bitcast=True)
    return wide


@triton.jit
def _loaded(pointer, place, left, TILE: tl.constexpr, LENGTH: tl.constexpr):
    """The words at `place` and those a tile on; zeros where none is left. Where all are, no mask parts the loads."""
    if left == LENGTH:
        one, other = tl.load(pointer + place), tl.load(pointer + place + TILE)
    else:
        one = tl.load(pointer + place, mask=place < left, other=0)
        other = tl.load(pointer + place + TILE, mask=place + TILE < left, other=0)
    return _bits(one), _bits(other)


@triton.jit
def _ordered(word, WIDTH: tl.constexpr, ONES: tl.constexpr, ZEROS_APART: tl.constexpr):
    """Each lane as an unsigned integer that grows with the number it stands for."""
    negative = (word >> (WIDTH - 1)) & ONES
    ordered = word ^ ((negative * ((1 << (WIDTH - 1)) - 1)) | (ONES << (WIDTH - 1)))
    if not ZEROS_APART:
        ordered += negative
    return ordered


@triton.jit
def _distance(a, b, WIDTH: tl.constexpr, LANES: tl.constexpr):
    if LANES == 2:
        low_a, low_b, high_a, high_b = a & 0xFFFF, b & 0xFFFF, a & 0xFFFF0000, b & 0xFFFF0000
        low = tl.maximum(low_a, low_b) - tl.minimum(low_a, low_b)
        distance = low | (tl.maximum(high_a, high_b) - tl.minimum(high_a, high_b))
    else:
        distance = tl.maximum(a, b) - tl.minimum(a, b)
    return distance


@triton.jit
def _parted(
    a,
    b,
    WIDTH: tl.constexpr,
    LANES: tl.constexpr,
    LARGEST: tl.constexpr,
    ZEROS_APART: tl.constexpr,
    NANS_ALIKE: tl.constexpr,
    NANS: tl.constexpr,
):
    """(distance, the top bit of lanes). NANS: the distance is 0 where a lane has a NaN, and the bit tells that it is
    incomparable. Otherwise it tells that there is a NaN, and the distance holds where there is none.
    """
    ONES: tl.constexpr = 0x00010001 if LANES == 2 else 1
    MAGNITUDES: tl.constexpr = ((1 << (WIDTH - 1)) - 1) * ONES
    TOPS: tl.constexpr = ONES << (WIDTH - 1)
    BEYOND: tl.constexpr = ((1 << (WIDTH - 1)) - 1 - LARGEST) * ONES  # carries a NaN's magnitude into the top bit
    distance = _distance(_ordered(a, WIDTH, ONES, ZEROS_APART), _ordered(b, WIDTH, ONES, ZEROS_APART), WIDTH, LANES)
    nan_a, nan_b = (a & MAGNITUDES) + BEYOND, (b & MAGNITUDES) + BEYOND
    nan = (nan_a | nan_b) & TOPS
    tops = nan
    if NANS:
        distance &= ((nan >> (WIDTH - 1)) * ((1 << WIDTH) - 1)) ^ 0xFFFFFFFF
        if NANS_ALIKE:
            tops = (nan_a ^ nan_b) & TOPS
        else:
            unequal = a ^ b
            tops = nan & (((unequal & MAGNITUDES) + MAGNITUDES) | unequal)
    return distance, tops


@triton.jit
def _reached(distance, WIDTH: tl.constexpr, LANES: tl.constexpr):
    """Bit k of a lane: whether its distance is 2^k or more."""
    for i in tl.static_range(5):
        if (1 << i) < WIDTH:
            below = distance >> (1 << i)
            if LANES == 2:
                below &= (0xFFFF >> (1 << i)) * 0x00010001
            distance |= below
    return distance


@triton.jit
def _halves(total):
    """(low, high): the two 16-bit counts that a sum of words has kept."""
    return (total & 0xFFFF).to(tl.int64), ((total >> 16) & 0xFFFF).to(tl.int64)


@triton.jit
def _add_bits(found_ptr, words, LANES: tl.constexpr):
    """Add counts of eight bits [words, 8], and of those 16 places above, which are the other lane's."""
    low, high = _halves(tl.sum(words.to(tl.int32, bitcast=True), 0))
    bit = tl.arange(0, 8)
    if LANES == 2:
        tl.atomic_add(found_ptr + bit, low + high, sem="relaxed")
    else:
        tl.atomic_add(found_ptr + bit, low, sem="relaxed")
        tl.atomic_add(found_ptr + bit + 16, high, sem="relaxed")


@triton.jit
def _planes(
    a_ptr,
    b_ptr,
    left,
    WIDTH: tl.constexpr,
    LANES: tl.constexpr,
    LARGEST: tl.constexpr,
    ZEROS_APART: tl.constexpr,
    NANS_ALIKE: tl.constexpr,
    NANS: tl.constexpr,
    TILE: tl.constexpr,
    TILES: tl.constexpr,
):
    """(six planes of counters; top bits as _parted tells them, NANS counted; the greatest low lane, and word)."""
    offset = tl.arange(0, TILE)
    ones = tl.zeros((TILE,), tl.uint32)
    twos, fours, eights, sixteens, all_of_32 = ones, ones, ones, ones, ones
    tops, low, high = ones, ones, ones
    for i in range(0, TILES, 2):
        place = i * TILE + offset
        a, next_a = _loaded(a_ptr, place, left, TILE, TILE * TILES)
        b, next_b = _loaded(b_ptr, place, left, TILE, TILE * TILES)
        one, tops_one = _parted(a, b, WIDTH, LANES, LARGEST, ZEROS_APART, NANS_ALIKE, NANS)
        other, tops_other = _parted(next_a, next_b, WIDTH, LANES, LARGEST, ZEROS_APART, NANS_ALIKE, NANS)
        if NANS:
            tops += (tops_one >> (WIDTH - 1)) + (tops_other >> (WIDTH - 1))
        else:
            tops |= tops_one | tops_other
        high = tl.maximum(high, tl.maximum(one, other))
        if LANES == 2:
            low = tl.maximum(low, tl.maximum(one & 0xFFFF, other & 0xFFFF))
        one, other = _reached(one, WIDTH, LANES), _reached(other, WIDTH, LANES)
        half = ones ^ one
        carry = (ones & one) | (half & other)
        ones = half ^ other
        twos, carry = twos ^ carry, twos & carry
        fours, carry = fours ^ carry, fours & carry
        eights, carry = eights ^ carry, eights & carry
        sixteens, carry = sixteens ^ carry, sixteens & carry
        all_of_32 |= carry
    return ones, twos, fours, eights, sixteens, all_of_32, tops, low, high


@triton.jit
def _count(
    a_ptr,
    b_ptr,
    found_ptr,
    n_words,
    WIDTH: tl.constexpr,
    LANES: tl.constexpr,
    LARGEST: tl.constexpr,
    ZEROS_APART: tl.constexpr,
    NANS_ALIKE: tl.constexpr,
    TILE: tl.constexpr,
    TILES: tl.constexpr,
):
    LENGTH: tl.constexpr = TILE * TILES
    start = tl.program_id(0).to(tl.int64) * LENGTH
    left = tl.minimum(n_words - start, LENGTH).to(tl.int32)
    a_ptr += start
    b_ptr += start
    ones, twos, fours, eights, sixteens, all_of_32, apart, low, high = _planes(
        a_ptr, b_ptr, left, WIDTH, LANES, LARGEST, ZEROS_APART, NANS_ALIKE, False, TILE, TILES
    )
    if tl.max((apart != 0).to(tl.int32), 0) > 0:  # there are NaN, which cost more
        ones, twos, fours, eights, sixteens, all_of_32, apart, low, high = _planes(
            a_ptr, b_ptr, left, WIDTH, LANES, LARGEST, ZEROS_APART, NANS_ALIKE, True, TILE, TILES
        )
    some = ones | twos | fours | eights | sixteens | all_of_32 | apart
    if tl.max((some != 0).to(tl.int32), 0) > 0:
        bit = tl.arange(0, 8)[None, :]
        eighths = (ones[:, None] >> bit) & 0x01010101
        eighths += ((twos[:, None] >> bit) & 0x01010101) << 1
        eighths += ((fours[:, None] >> bit) & 0x01010101) << 2
        eighths += ((eights[:, None] >> bit) & 0x01010101) << 3
        eighths += ((sixteens[:, None] >> bit) & 0x01010101) << 4
        eighths += ((all_of_32[:, None] >> bit) & 0x01010101) << 5
        _add_bits(found_ptr, eighths & 0x00FF00FF, LANES)
        _add_bits(found_ptr + 8, (eighths >> 8) & 0x00FF00FF, LANES)
        low_apart, high_apart = _halves(tl.sum(apart.to(tl.int32, bitcast=True), 0))
        tl.atomic_add(found_ptr + 32, low_apart + high_apart, sem="relaxed")
        if LANES == 2:
            high = tl.maximum(low, high >> 16)
        tl.atomic_max(found_ptr + 33, tl.max(high.to(tl.int64), 0), sem="relaxed")
        # The first is looked for anew: it is near, or what differs is rare.
        offset = tl.arange(0, TILE)
        place = tl.full((), 0, tl.int32)
        nearest = tl.full((), LENGTH, tl.int32)
        while nearest == LENGTH:
            at = place + offset
            a = _bits(tl.load(a_ptr + at, mask=at < left, other=0))
            b = _bits(tl.load(b_ptr + at, mask=at < left, other=0))
            distance, tops = _parted(a, b, WIDTH, LANES, LARGEST, ZEROS_APART, NANS_ALIKE, True)
            nearest = tl.min(tl.where((distance | tops) != 0, at, LENGTH), 0)
            place += TILE
        index = (start + nearest) * LANES
        if LANES == 2:
            a, b = _bits(tl.load(a_ptr + nearest)), _bits(tl.load(b_ptr + nearest))
            distance, tops = _parted(a, b, WIDTH, LANES, LARGEST, ZEROS_APART, NANS_ALIKE, True)
            index += (((distance | tops) & 0xFFFF) == 0).to(tl.int64)
        tl.atomic_max(found_ptr + 34, n_words * LANES - index, sem="relaxed")
