"""Floats that meet integer dtypes: what x86 makes of every float is what is computed on every device."""

from __future__ import annotations

import platform

import pytest
import torch

from quant.codes import storage_dtype
from quant.integers import cast_to_integer, holds

INT32, INT64 = -(2**31), -(2**63)
# value, and what it becomes in int8, uint8, int16, int32, int64
CONVERSIONS: list[tuple[float, tuple[int, int, int, int, int]]] = [
    (1.9, (1, 1, 1, 1, 1)),
    (-1.9, (-1, 255, -1, -1, -1)),
    (-0.0, (0, 0, 0, 0, 0)),
    (128.0, (-128, 128, 128, 128, 128)),
    (-129.0, (127, 127, -129, -129, -129)),
    (256.0, (0, 0, 256, 256, 256)),
    (32768.0, (0, 0, -32768, 32768, 32768)),
    (65535.0, (-1, 255, -1, 65535, 65535)),
    (2.0**31, (0, 0, 0, INT32, 2**31)),
    (-(2.0**31), (0, 0, 0, INT32, INT32)),
    (2.0**40, (0, 0, 0, INT32, 2**40)),
    (2.0**63, (0, 0, 0, INT32, INT64)),
    (torch.inf, (0, 0, 0, INT32, INT64)),
    (-torch.inf, (0, 0, 0, INT32, INT64)),
    (torch.nan, (0, 0, 0, INT32, INT64)),
]
DTYPES = (torch.int8, torch.uint8, torch.int16, torch.int32, torch.int64)


def representable() -> list[tuple[torch.dtype, float, tuple[int, ...]]]:
    """Every conversion from every float dtype that holds the value."""
    sources = (torch.float32, torch.float64, torch.bfloat16, torch.float16)
    return [
        (source, value, expected)
        for source in sources
        for value, expected in CONVERSIONS
        if value != value or torch.tensor(value, dtype=torch.float64).to(source).item() == value
    ]


@pytest.mark.parametrize(("source", "value", "expected"), representable())
def test_conversion_is_the_declared_one(source: torch.dtype, value: float, expected: tuple[int, ...]) -> None:
    x = torch.tensor([value], dtype=torch.float64).to(source)
    assert [cast_to_integer(x, dtype).item() for dtype in DTYPES] == list(expected)


@pytest.mark.skipif(platform.machine() not in ("x86_64", "AMD64"), reason="unrun: the declared conversion is x86's")
@pytest.mark.parametrize("source", [torch.float32, torch.float64, torch.bfloat16, torch.float16], ids=str)
@pytest.mark.parametrize("repeated", [1, 64], ids=["scalar", "vector"])
def test_conversion_is_what_this_processor_does(source: torch.dtype, repeated: int) -> None:
    x = torch.tensor([value for value, _ in CONVERSIONS], dtype=torch.float64).to(source).repeat(repeated)
    for dtype in DTYPES:
        assert torch.equal(cast_to_integer(x, dtype), x.to(dtype)), dtype


def test_holds() -> None:
    assert holds(torch.bfloat16, 256)
    assert not holds(torch.bfloat16, 257)
    assert holds(torch.float16, 2048)
    assert not holds(torch.float16, 2049)
    assert not holds(torch.float16, 2**17)
    assert holds(torch.float32, 2**24)
    assert not holds(torch.float32, 2**24 + 1)
    assert holds(torch.int8, -128)
    assert not holds(torch.int8, 128)
    assert not holds(torch.uint8, -1)


@pytest.mark.parametrize(
    ("qmin", "qmax", "dtype"),
    [
        (-8, 7, torch.int8),
        (0, 15, torch.int8),
        (-128, 127, torch.int8),
        (0, 255, torch.uint8),
        (-256, 255, torch.int16),
        (0, 2**15, torch.int32),
        (0, 2**16 - 1, torch.int32),
    ],
)
def test_storage_is_the_narrowest_dtype(qmin: int, qmax: int, dtype: torch.dtype) -> None:
    assert storage_dtype(qmin, qmax) is dtype
