"""narrow rounds once: around every value and every midpoint of both 16-bit formats, by either of its two ways."""

import pytest
import torch

from kernels.narrow import narrow
from suites.rationals import SIXTEEN_BITS, neighbourhoods, same_bits


@pytest.mark.parametrize("dtype", SIXTEEN_BITS, ids=str)
@pytest.mark.parametrize("wide", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("compiling", [False, True])
def test_every_value_and_midpoint_rounds_to_nearest_even(
    dtype: torch.dtype, wide: torch.dtype, compiling: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.compiler, "is_compiling", lambda: compiling)  # the integer arithmetic, run eagerly
    inputs, answers = neighbourhoods(dtype, wide)
    assert same_bits(narrow(inputs, dtype), answers)


def test_torch_alone_rounds_float64_twice() -> None:
    just_above_a_tie = torch.tensor(1 + 2.0**-8 + 2.0**-40, dtype=torch.float64)
    assert narrow(just_above_a_tie, torch.bfloat16) == 1 + 2.0**-7
    assert just_above_a_tie.to(torch.bfloat16) == 1.0  # the day this fails, narrow can lose its detour


@pytest.mark.parametrize("dtype", [*SIXTEEN_BITS, torch.float32], ids=str)
@pytest.mark.parametrize("wide", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("compiling", [False, True])
def test_what_is_not_finite_stays_so_and_what_is_too_large_becomes_infinite(
    dtype: torch.dtype, wide: torch.dtype, compiling: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.compiler, "is_compiling", lambda: compiling)
    patterns = [0x7FC00000, 0x7F800001, 0x7FFFFFFF, -1, -0x7FFFFF, 0x7FFFE000]
    nans = torch.tensor(patterns, dtype=torch.int32).view(torch.float32).to(wide)
    assert narrow(nans, dtype).isnan().all()
    infinities = torch.tensor([torch.inf, -torch.inf], dtype=wide)
    assert same_bits(narrow(infinities, dtype), infinities.to(dtype))
    if dtype is not wide:
        largest = torch.finfo(wide).max
        assert same_bits(narrow(torch.tensor([largest, -largest], dtype=wide), dtype), infinities.to(dtype))


def test_widening_is_exact_and_the_same_dtype_is_the_same_tensor() -> None:
    x = torch.arange(-(2**15), 2**15, dtype=torch.int16).view(torch.float16)
    assert narrow(x, torch.float16) is x
    assert same_bits(narrow(narrow(x, torch.float64), torch.float16), x)


def test_other_dtypes_are_refused() -> None:
    with pytest.raises(ValueError, match=r"^x is torch\.int32, but narrow rounds between float64, float32"):
        narrow(torch.zeros(1, dtype=torch.int32), torch.float16)
    with pytest.raises(ValueError, match=r"^dtype is torch\.int8, but"):
        narrow(torch.zeros(1), torch.int8)
