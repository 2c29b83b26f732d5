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

from kernels.bit_lanes_triton import bits_of, ends, greatest_lanes, least_lanes, parted, reached, some_nan
from kernels.bit_line import BitLine

_TILE = 256  # words that are looked at together
_TILES = 128  # of one program: what eight planes hold


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
            NATIVE=a.is_cuda and torch.cuda.get_device_capability(a.device) >= (9, 0),
            TILE=_TILE,
            TILES=_TILES,
            num_warps=4,
        )
    return found


@triton.jit
def _loaded(pointer, place, left, FULL: tl.constexpr):
    """The words at `place`, zeros where none is left. FULL: all are, and no mask parts the loads."""
    return bits_of(tl.load(pointer + place) if FULL else tl.load(pointer + place, mask=place < left, other=0))


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
def _added(a, b, c):
    """(sum, carry) of three bits at every place of a word."""
    return a ^ b ^ c, (a & b) | ((a ^ b) & c)


@triton.jit
def _looked_at(
    a_ptr,
    b_ptr,
    place,
    left,
    least,
    greatest,
    farthest,
    tops,
    WIDTH: tl.constexpr,
    LANES: tl.constexpr,
    LARGEST: tl.constexpr,
    ZEROS_APART: tl.constexpr,
    NANS_ALIKE: tl.constexpr,
    NATIVE: tl.constexpr,
    FULL: tl.constexpr,
    NANS: tl.constexpr,
):
    """(which powers of two the distances reach; least, greatest, farthest and incomparable, with these words)."""
    a, b = _loaded(a_ptr, place, left, FULL), _loaded(b_ptr, place, left, FULL)
    if NANS:
        distance, incomparable = parted(a, b, WIDTH, LANES, LARGEST, ZEROS_APART, NANS_ALIKE, NATIVE)
        tops += incomparable >> (WIDTH - 1)
    else:
        low, high = ends(a, b, WIDTH, LANES, ZEROS_APART, NATIVE)
        least, greatest = least_lanes(least, low, LANES, NATIVE), greatest_lanes(greatest, high, LANES, NATIVE)
        distance = high - low
    farthest = greatest_lanes(farthest, distance, LANES, NATIVE)
    return reached(distance, WIDTH, LANES), least, greatest, farthest, tops


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
    NATIVE: tl.constexpr,
    FULL: tl.constexpr,
    NANS: tl.constexpr,
    TILE: tl.constexpr,
    TILES: tl.constexpr,
):
    """(eight planes of counters; the farthest in each lane; how many are incomparable there; whether there is a NaN).

    Without NANS nothing is told but the last where there is one; with it, the last is not.
    """
    offset = tl.arange(0, TILE)
    ones = tl.zeros((TILE,), tl.uint32)
    twos, fours, eights, sixteens, of_32, of_64, of_128 = ones, ones, ones, ones, ones, ones, ones
    farthest, tops, greatest, least = ones, ones, ones, ones | 0xFFFFFFFF
    for i in range(0, TILES, 4):
        place = i * TILE + offset
        one, least, greatest, farthest, tops = _looked_at(
            a_ptr, b_ptr, place, left, least, greatest, farthest, tops,
            WIDTH, LANES, LARGEST, ZEROS_APART, NANS_ALIKE, NATIVE, FULL, NANS,
        )  # fmt: skip
        other, least, greatest, farthest, tops = _looked_at(
            a_ptr, b_ptr, place + TILE, left, least, greatest, farthest, tops,
            WIDTH, LANES, LARGEST, ZEROS_APART, NANS_ALIKE, NATIVE, FULL, NANS,
        )  # fmt: skip
        ones, carry = _added(ones, one, other)
        one, least, greatest, farthest, tops = _looked_at(
            a_ptr, b_ptr, place + 2 * TILE, left, least, greatest, farthest, tops,
            WIDTH, LANES, LARGEST, ZEROS_APART, NANS_ALIKE, NATIVE, FULL, NANS,
        )  # fmt: skip
        other, least, greatest, farthest, tops = _looked_at(
            a_ptr, b_ptr, place + 3 * TILE, left, least, greatest, farthest, tops,
            WIDTH, LANES, LARGEST, ZEROS_APART, NANS_ALIKE, NATIVE, FULL, NANS,
        )  # fmt: skip
        ones, other = _added(ones, one, other)
        twos, carry = _added(twos, carry, other)
        fours, carry = fours ^ carry, fours & carry
        eights, carry = eights ^ carry, eights & carry
        sixteens, carry = sixteens ^ carry, sixteens & carry
        of_32, carry = of_32 ^ carry, of_32 & carry
        of_64, carry = of_64 ^ carry, of_64 & carry
        of_128 |= carry
    nan = some_nan(least, greatest, WIDTH, LANES, LARGEST, ZEROS_APART)
    return ones, twos, fours, eights, sixteens, of_32, of_64, of_128, farthest, tops, nan


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
    NATIVE: tl.constexpr,
    TILE: tl.constexpr,
    TILES: tl.constexpr,
):
    LENGTH: tl.constexpr = TILE * TILES
    start = tl.program_id(0).to(tl.int64) * LENGTH
    left = tl.minimum(n_words - start, LENGTH).to(tl.int32)
    a_ptr += start
    b_ptr += start
    if left == LENGTH:
        ones, twos, fours, eights, sixteens, of_32, of_64, of_128, high, apart, nan = _planes(
            a_ptr, b_ptr, left, WIDTH, LANES, LARGEST, ZEROS_APART, NANS_ALIKE, NATIVE, True, False, TILE, TILES
        )
    else:
        ones, twos, fours, eights, sixteens, of_32, of_64, of_128, high, apart, nan = _planes(
            a_ptr, b_ptr, left, WIDTH, LANES, LARGEST, ZEROS_APART, NANS_ALIKE, NATIVE, False, False, TILE, TILES
        )
    if nan:  # they cost more
        ones, twos, fours, eights, sixteens, of_32, of_64, of_128, high, apart, nan = _planes(
            a_ptr, b_ptr, left, WIDTH, LANES, LARGEST, ZEROS_APART, NANS_ALIKE, NATIVE, False, True, TILE, TILES
        )
    some = ones | twos | fours | eights | sixteens | of_32 | of_64 | of_128 | apart
    if tl.max((some != 0).to(tl.int32), 0) > 0:
        bit = tl.arange(0, 8)[None, :]
        eighths = (ones[:, None] >> bit) & 0x01010101
        eighths += ((twos[:, None] >> bit) & 0x01010101) << 1
        eighths += ((fours[:, None] >> bit) & 0x01010101) << 2
        eighths += ((eights[:, None] >> bit) & 0x01010101) << 3
        eighths += ((sixteens[:, None] >> bit) & 0x01010101) << 4
        eighths += ((of_32[:, None] >> bit) & 0x01010101) << 5
        eighths += ((of_64[:, None] >> bit) & 0x01010101) << 6
        eighths += ((of_128[:, None] >> bit) & 0x01010101) << 7
        _add_bits(found_ptr, eighths & 0x00FF00FF, LANES)
        _add_bits(found_ptr + 8, (eighths >> 8) & 0x00FF00FF, LANES)
        low_apart, high_apart = _halves(tl.sum(apart.to(tl.int32, bitcast=True), 0))
        tl.atomic_add(found_ptr + 32, low_apart + high_apart, sem="relaxed")
        if LANES == 2:
            high = tl.maximum(high & 0xFFFF, high >> 16)
        tl.atomic_max(found_ptr + 33, tl.max(high.to(tl.int64), 0), sem="relaxed")
        # The first is looked for anew: it is near, or what differs is rare.
        offset = tl.arange(0, TILE)
        place = tl.full((), 0, tl.int32)
        nearest = tl.full((), LENGTH, tl.int32)
        while nearest == LENGTH:
            at = place + offset
            a = bits_of(tl.load(a_ptr + at, mask=at < left, other=0))
            b = bits_of(tl.load(b_ptr + at, mask=at < left, other=0))
            distance, tops = parted(a, b, WIDTH, LANES, LARGEST, ZEROS_APART, NANS_ALIKE, NATIVE)
            nearest = tl.min(tl.where((distance | tops) != 0, at, LENGTH), 0)
            place += TILE
        index = (start + nearest) * LANES
        if LANES == 2:
            a, b = bits_of(tl.load(a_ptr + nearest)), bits_of(tl.load(b_ptr + nearest))
            distance, tops = parted(a, b, WIDTH, LANES, LARGEST, ZEROS_APART, NANS_ALIKE, NATIVE)
            index += (((distance | tops) & 0xFFFF) == 0).to(tl.int64)
        tl.atomic_max(found_ptr + 34, n_words * LANES - index, sem="relaxed")
