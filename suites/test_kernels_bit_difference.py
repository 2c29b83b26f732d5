"""bit_difference against parity's own diff, element by element, and on CUDA against itself on CPU."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from kernels.bit_difference import BINS, bit_difference
from parity.diff import diff_stage
from suites.bit_patterns import of_bits, patterns, unhurried

NAMES = {"float32": 32, "bfloat16": 16, "float16": 16}


@unhurried
@given(data=st.data(), name=st.sampled_from(sorted(NAMES)))
def test_it_is_the_diff_of_a_stage(data: st.DataObject, name: str) -> None:
    drawn = st.lists(st.tuples(patterns(NAMES[name]), patterns(NAMES[name]), st.booleans()), max_size=30)
    pairs = [(a, a if same else b) for a, b, same in data.draw(drawn)]
    a, b = (of_bits([pair[side] for pair in pairs], name) for side in (0, 1))
    found, expected = bit_difference(a, b), diff_stage("output", a, b)
    assert found.n_different == expected.n_different
    assert found.max_ulp == expected.max_ulp
    assert found.first == (None if expected.first_index is None else expected.first_index[0])
    assert found.histogram == (*expected.histogram[: BINS - 1], expected.histogram[-1])


def test_unlike_operands_are_refused() -> None:
    with pytest.raises(
        ValueError, match=r"^a is torch\.float32 \(2,\) on cpu and b is torch\.float16 \(2,\) on cpu; bits"
    ):
        bit_difference(torch.ones(2), torch.ones(2).half())


@pytest.mark.gpu
@pytest.mark.parametrize("name", sorted(NAMES))
@pytest.mark.parametrize("n", [1, 4097, 300_001])
def test_one_pass_on_cuda_counts_what_torch_counts(name: str, n: int) -> None:
    generator = torch.Generator().manual_seed(n)
    width = torch.int16 if NAMES[name] == 16 else torch.int32

    def words() -> Tensor:
        ends = torch.iinfo(width)
        return torch.randint(ends.min, ends.max, (n,), generator=generator, dtype=width)

    a, other = words(), words()
    for share in (0.0, 0.0005, 0.5, 1.0):
        b = torch.where(torch.rand(n, generator=generator) < share, other, a)
        near = torch.where(torch.rand(n, generator=generator) < share, a ^ 5, b)
        for second in (b, near):
            x, y = a.view(getattr(torch, name)), second.view(getattr(torch, name))
            assert bit_difference(x.cuda(), y.cuda()) == bit_difference(x, y)
