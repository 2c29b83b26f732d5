"""Tensors written down bit for bit, and hypothesis' ways to draw them."""

import os

import pytest
import torch
from hypothesis import settings
from hypothesis import strategies as st

from parity.formats import FLOATS, INTEGERS

# The first example pays for torch's own set-up, and the machine is shared: time is no verdict on bits.
unhurried = settings(deadline=None)

STORAGE = {8: torch.int8, 16: torch.int16, 32: torch.int32, 64: torch.int64}
DEVICES = ["cpu", pytest.param("cuda", marks=pytest.mark.gpu)]
# Where a kernel of Triton runs.
TRITON_DEVICES = [
    pytest.param("cuda", marks=pytest.mark.gpu),
    pytest.param(
        "cpu",
        id="interpreted",
        marks=pytest.mark.skipif(
            os.environ.get("TRITON_INTERPRET") != "1", reason="TRITON_INTERPRET=1 runs Triton's kernels on cpu"
        ),
    ),
]


def of_bits(patterns: list[int], dtype_name: str) -> torch.Tensor:
    """A tensor of that dtype with these unsigned patterns."""
    width = (FLOATS.get(dtype_name) or INTEGERS[dtype_name]).width
    signed = [p - (1 << width) if p >> (width - 1) else p for p in patterns]
    return torch.tensor(signed, dtype=STORAGE[width]).view(getattr(torch, dtype_name))


def patterns(width: int) -> st.SearchStrategy[int]:
    """Any pattern, with the corners of every format of that width drawn more often."""
    sign = 1 << (width - 1)
    corners = {0, 1, sign - 1}
    for form in (f for f in FLOATS.values() if f.width == width):
        corners |= {form.largest - 1, form.largest, form.largest + 1, form.canonical_nan, 1 << form.mantissa_bits}
    both = sorted(corners | {c | sign for c in corners})
    return st.sampled_from(both) | st.integers(0, 2 * sign - 1)
