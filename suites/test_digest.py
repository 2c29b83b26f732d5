"""Digests: golden values, and one bit more or less anywhere makes another."""

import struct
from hashlib import blake2b

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from parity.bits import bits
from parity.digest import digest, digests
from suites.bit_patterns import DEVICES, of_bits, patterns, unhurried

# Runs of different months and machines meet only through these: a changed line makes every old record unreadable.
GOLDEN = {
    "float32 ramp": (torch.arange(6, dtype=torch.float32).reshape(2, 3) - 2.5, "2d2e32b2432ba695"),
    "bfloat16 ramp": (torch.arange(6, dtype=torch.bfloat16).reshape(2, 3) - 2.5, "b5bb443ecb000696"),
    "float64 scalar": (torch.tensor(0.1, dtype=torch.float64), "45c9380bc7f5b63a"),
    "float16 with -0.0": (of_bits([0x8000, 0x0000, 0x0001, 0xFC00], "float16"), "93d94f2a9772f8ea"),
    "int8 codes": (torch.tensor([[-8, 7], [0, -1]], dtype=torch.int8), "d6b371d9204e8f69"),
    "uint8 bytes": (torch.tensor([0xF8, 0x7], dtype=torch.uint8), "316fd7b2c5d50604"),
    "int32 zero points": (torch.tensor([-128, 2**31 - 1], dtype=torch.int32), "d5ef75cacd3efa79"),
    "float32 NaN": (of_bits([0xFF80_0001], "float32"), "74f6bf1852ff67d6"),
    "int64 empty": (torch.empty(0, 4, dtype=torch.int64), "41b953d178ceccce"),
}


@pytest.mark.parametrize("name", GOLDEN)
def test_golden_digests(name: str) -> None:
    x, text = GOLDEN[name]
    assert digest(x) == text


def test_a_digest_is_blake2b_of_dtype_shape_and_little_endian_bytes() -> None:
    written_out = blake2b(b"float32[2,1]\0" + struct.pack("<2f", 1.5, -0.0), digest_size=8)
    assert digest(torch.tensor([[1.5], [-0.0]])) == written_out.hexdigest()


def test_golden_digests_differ_from_one_another() -> None:
    assert len({text for _, text in GOLDEN.values()}) == len(GOLDEN)


@unhurried
@given(
    drawn=st.lists(patterns(16), min_size=4, max_size=24),
    name=st.sampled_from(["float16", "bfloat16", "int16"]),
    shape=st.sampled_from([(-1, 2), (2, -1), (-1, 1, 2), (-1,)]),
)
def test_the_digests_of_a_stack_are_those_of_its_cases(drawn: list[int], name: str, shape: tuple[int, ...]) -> None:
    stacked = of_bits(drawn[: len(drawn) // 2 * 2], name).reshape(shape)
    assert digests(stacked) == [digest(case) for case in stacked]
    assert digests(stacked.flip(0)) == digests(stacked)[::-1]


@unhurried
@given(drawn=st.lists(patterns(16), min_size=1, max_size=12), at=st.integers(0, 11), bit=st.integers(0, 15))
def test_flipping_one_bit_changes_the_digest_unless_both_are_nan(drawn: list[int], at: int, bit: int) -> None:
    flipped = list(drawn)
    flipped[at % len(drawn)] ^= 1 << bit
    x, y = of_bits(drawn, "bfloat16"), of_bits(flipped, "bfloat16")
    assert (digest(x) == digest(y)) == bits(x).equal(bits(y))


def test_zeros_of_two_signs_differ_and_nans_of_all_payloads_do_not() -> None:
    assert digest(torch.tensor([0.0])) != digest(torch.tensor([-0.0]))
    assert digest(of_bits([0x7FC0_0000], "float32")) == digest(of_bits([0xFF80_0001], "float32"))


def test_dtype_and_shape_are_part_of_the_digest() -> None:
    zeros = torch.zeros(2, 6)
    alike = [
        zeros,
        zeros.T,
        zeros.reshape(12),
        zeros.reshape(2, 6, 1),
        zeros.view(torch.int32),
        zeros.view(torch.uint32),
    ]
    alike += [
        torch.zeros(()),
        torch.zeros(1),
        torch.zeros(0),
        torch.zeros(0, 1),
        torch.zeros(2, 6, dtype=torch.float64),
    ]
    assert len({digest(x) for x in alike}) == len(alike)


@pytest.mark.parametrize("device", DEVICES)
def test_strides_device_and_gradient_leave_no_mark(device: str) -> None:
    x = torch.arange(12, dtype=torch.float32).reshape(3, 4)
    strided = torch.empty(4, 6).T[::2].copy_(x)
    assert not strided.is_contiguous()
    assert digest(strided.to(device)) == digest(x)
    assert digest(torch.nn.Parameter(x)) == digest(x)
    assert digest(x[:1].expand(3, 4)) == digest(x[:1].repeat(3, 1))


def test_stacks_of_nothing_and_of_empty_cases() -> None:
    assert digests(torch.zeros(0, 3)) == []
    assert digests(torch.zeros(2, 0)) == [digest(torch.zeros(0))] * 2


def test_a_scalar_stacks_nothing() -> None:
    with pytest.raises(ValueError, match="a leading axis of cases, but the tensor is 0-d"):
        digests(torch.tensor(1.0))
