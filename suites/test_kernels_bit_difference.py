"""bit_difference in one pass on CUDA against what the plain path counts; what that counts is in parity.diff's suite."""

from __future__ import annotations

from itertools import product

import pytest
import torch
from torch import Tensor

from kernels.bit_difference import bit_difference
from kernels.bit_line import INCOMPARABLE, BitLine, distances
from suites.bit_patterns import TRITON_DEVICES

FORMATS = {"float32": (32, 0x7F800000), "bfloat16": (16, 0x7F80), "float16": (16, 0x7C00)}
POLICIES = list(product([True, False], repeat=2))


def lines(name: str) -> list[BitLine]:
    width, largest = FORMATS[name]
    return [BitLine(width=width, largest=largest, zeros_apart=z, nans_alike=n) for z, n in POLICIES]


def pairs(name: str, n: int) -> list[tuple[Tensor, Tensor]]:
    """Any bits, of which no, few, half and all elements differ, by anything or by little; zeros and NaN abound."""
    width, largest = FORMATS[name]
    dtype = torch.int16 if width == 16 else torch.int32
    ends, generator = torch.iinfo(dtype), torch.Generator().manual_seed(n)
    corners = torch.tensor([0, ends.min, largest, largest + 1, ends.max, -1, ends.min + 1, ends.min + largest])

    def words() -> Tensor:
        drawn = torch.randint(ends.min, ends.max, (n,), generator=generator)
        corner = corners[torch.randint(len(corners), (n,), generator=generator)]
        return torch.where(torch.rand(n, generator=generator) < 0.2, corner, drawn).to(dtype)

    a, other, found = words(), words(), []
    for share, second in product((0.0, 0.0005, 0.5, 1.0), (other, a ^ 5)):
        found.append((a, torch.where(torch.rand(n, generator=generator) < share, second, a)))
    return found


@pytest.mark.parametrize("device", TRITON_DEVICES)
@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("n", [1, 4098, 70_001])
def test_one_pass_counts_what_the_distances_say(name: str, n: int, device: str) -> None:
    from kernels.bit_difference_triton import counts

    for line, (a, b) in product(lines(name), pairs(name, n)):
        distance = distances(a, b, line)
        different = distance.nonzero().flatten().tolist()
        expected = [
            *(int((distance >= 2**k).sum()) for k in range(32)),
            int((distance == INCOMPARABLE).sum()),
            max(int(distance.max()), 0),
            n - different[0] if different else 0,
        ]
        assert counts(a.to(device), b.to(device), line).tolist() == expected


@pytest.mark.gpu
@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("n", [1, 300_001, 2_100_000])
def test_what_is_told_of_a_pass_is_what_the_plain_path_tells(name: str, n: int) -> None:
    for line, (a, b) in product(lines(name), pairs(name, n)):
        assert bit_difference(a.cuda(), b.cuda(), line) == bit_difference(a, b, line)


def test_unlike_operands_are_refused() -> None:
    line = lines("float16")[0]
    words = torch.zeros(2, dtype=torch.int16)
    for a, b in ((words, words.int()), (words, words[:1]), (words.half(), words.half()), (words.int(), words.int())):
        with pytest.raises(ValueError, match=r"; bits are compared for two tensors of 16-bit integers, of one shape"):
            bit_difference(a, b, line)
