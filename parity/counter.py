"""word i of a seed = mix(seed + (i + 1) * GOLDEN_GAMMA) mod 2^64: a function of (seed, i) and of nothing else.

So the first n words do not depend on how many are asked for, nor on the seeds beside them, nor on device or version.
The mix is SplitMix64 (Steele, Lea, Flood: Fast Splittable Pseudorandom Number Generators, OOPSLA 2014; constants of
Vigna's splitmix64.c). Floats are put together from whole numbers and rounded once; no transcendental function and no
generator of torch has a part in them, because their bits differ between machines and releases. The rounding is done
here and not by kernels.narrow: the inputs of a test must not pass through what the test judges.
"""

from collections.abc import Sequence
from hashlib import blake2b

import torch
from torch import Tensor

GOLDEN_GAMMA = 0x9E3779B97F4A7C15
WORDS_PER_NORMAL = 4


def seed_of(cell_id: str, role: str) -> int:
    """blake2b of the cell's id and the role its numbers play ("weight", "input"), in [0, 2^63)."""
    text = f"{cell_id}\0{role}".encode()  # neither can hold a NUL, so no two pairs run into one text
    return int.from_bytes(blake2b(text, digest_size=8).digest(), "little") >> 1


def words(seeds: int | Sequence[int], n: int) -> Tensor:
    """int64 [len(seeds), n] (an int is one seed): SplitMix64's 64-bit words, as two's complement.

    A seed is taken mod 2^64. Raises ValueError for a negative n.
    """
    if n < 0:
        raise ValueError(f"words needs n >= 0, but n is {n}")
    listed = [seeds] if isinstance(seeds, int) else list(seeds)
    start = torch.tensor([_signed(seed) for seed in listed], dtype=torch.int64).reshape(-1, 1)
    count = torch.arange(1, n + 1, dtype=torch.int64)
    z = start + count * _signed(GOLDEN_GAMMA)  # int64 wraps, which is arithmetic mod 2^64
    z = (z ^ _shift_right(z, 30)) * _signed(0xBF58476D1CE4E5B9)
    z = (z ^ _shift_right(z, 27)) * _signed(0x94D049BB133111EB)
    return z ^ _shift_right(z, 31)


def uniform(word: Tensor, dtype: torch.dtype) -> Tensor:
    """k / 2^53, k the top 53 bits of a word, rounded once to dtype: in [0, 1], and 1 only by that rounding.

    word: int64 of any shape. Returns the same shape in float64, float32, float16 or bfloat16.
    """
    return _round_once(_shift_right(word, 11).to(torch.float64) * 2.0**-53, dtype)


def normal_like(word: Tensor, dtype: torch.dtype) -> Tensor:
    """n / 2^49, rounded once to dtype, for n = 2^33 * (u_1 + ... + u_12 - 393210) + v - 2^32: near N(0, 1).

    Irwin-Hall: twelve 16-bit uniforms u, the fields of three words, sum to standard deviation 2^16; v, the top 33 bits
    of a fourth word, fills the mantissa below them. |n| < 2^53, so float64 holds n exactly. Values stay in [-6, 6].
    word: int64 [..., 4 n]; value i is made of words 4 i to 4 i + 3. Returns [..., n].
    Raises ValueError when the last axis is not a multiple of four.
    """
    if word.dim() == 0 or word.shape[-1] % WORDS_PER_NORMAL:
        raise ValueError(f"each value is made of {WORDS_PER_NORMAL} words on the last axis, but it is {word.shape}")
    four = word.unflatten(-1, (-1, WORDS_PER_NORMAL)) if word.numel() else word.reshape(*word.shape[:-1], 0, 4)
    fields = torch.stack([four[..., :3] >> at & 0xFFFF for at in (0, 16, 32, 48)])
    n = ((fields.sum(dim=(0, -1)) - 393210) << 33) + _shift_right(four[..., 3], 31) - (1 << 32)
    return _round_once(n.to(torch.float64) * 2.0**-49, dtype)


def _signed(value: int) -> int:
    """The int64 with the same 64 bits as value mod 2^64."""
    return (value + (1 << 63)) % (1 << 64) - (1 << 63)


def _shift_right(z: Tensor, by: int) -> Tensor:
    """Logical shift of 64-bit words by 1 to 63: torch's >> copies the sign in."""
    return (z >> by) & ((1 << (64 - by)) - 1)


def _round_once(x: Tensor, dtype: torch.dtype) -> Tensor:
    """float64 to dtype, to nearest even, rounded once.

    torch casts float64 to a 16-bit float by way of float32, which rounds twice. Going there by round-to-odd (cut the
    29 low bits, set the last bit kept if any of them was set) leaves the second rounding the only one that counts,
    since float32 keeps two bits more than any 16-bit format. Boldo and Melquiond, When double rounding is odd, 2005.
    """
    if dtype in (torch.float64, torch.float32):
        return x.to(dtype)
    if dtype not in (torch.float16, torch.bfloat16):
        raise ValueError(f"values are made in float64, float32, float16 and bfloat16, not in {dtype}")
    raw = x.view(torch.int64)
    cut = (1 << 29) - 1
    odd = (raw & ~cut) | ((raw & cut) != 0).to(torch.int64) << 29
    return odd.view(torch.float64).to(torch.float32).to(dtype)
