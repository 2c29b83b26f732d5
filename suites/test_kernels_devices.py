"""On every device, eager or compiled by inductor, the elementwise kernels give the bits they give on CPU, eager."""

import pytest
import torch
from torch import Tensor

from kernels import (
    divide,
    divide_by_reciprocal,
    flush,
    fma,
    half_away,
    half_away_by_adding,
    half_up,
    narrow,
    reciprocal,
)
from suites.bit_patterns import DEVICES
from suites.rationals import SIXTEEN_BITS, neighbourhoods, same_bits


def everything(x: Tensor, y: Tensor, quotients: Tensor, halves: Tensor) -> dict[str, Tensor]:
    """Each kernel with an operation before or after it that a compiler would like to fuse with it."""
    wide = x.to(torch.float64) * 1.0000001
    results = {f"narrow {d} {v.dtype}": narrow(v, d).to(torch.float32) * y for v in (x, wide) for d in SIXTEEN_BITS}
    sixteen = {d: narrow(quotients, d) for d in SIXTEEN_BITS}
    results |= {f"divide {d}": divide(t, t.flip(0)).to(torch.float32) * y for d, t in sixteen.items()}
    return results | {
        "divide": divide(quotients, quotients.flip(0)) * y,
        "reciprocal": reciprocal(quotients) + y,
        "divide by a number": divide(quotients, 7.5) + y,
        "divide_by_reciprocal": divide_by_reciprocal(quotients, 7.5),
        "fma": fma(quotients, quotients.flip(0), -(quotients * quotients.flip(0))) * y,
        "half_away": half_away(halves * y),
        "half_away_by_adding": half_away_by_adding(halves * y),
        "half_up": half_up(halves * y),
        "half_up bfloat16": half_up(narrow(halves, torch.bfloat16)),
        "flush": flush(x) * y,
    }


def inputs() -> tuple[Tensor, ...]:
    x = torch.cat([neighbourhoods(d, torch.float32)[0].flatten() for d in SIXTEEN_BITS])
    x = torch.cat([x, torch.tensor([torch.inf, -torch.inf, torch.nan])])
    # Bit patterns from 2^-10 up to 2^10 in steps of a prime: all kinds of significands, quotients in the normal range.
    quotients = torch.arange(0x3A800000, 0x44800000, 4099, dtype=torch.int32).view(torch.float32)
    halves = torch.arange(-4096, 4096) / 2 + torch.tensor([[0.0], [2.0**-25], [-(2.0**-25)]])
    return x, torch.tensor(1.7), quotients, halves


@pytest.mark.slow
@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.filterwarnings("ignore:.*script_method:DeprecationWarning")  # torch's own, on importing inductor
def test_neither_a_device_nor_a_compiler_moves_a_bit(device: str) -> None:
    """One graph for all kernels: compiling costs seconds."""
    there = tuple(t.to(device) for t in inputs())
    expected, eager, compiled = everything(*inputs()), everything(*there), torch.compile(everything)(*there)
    assert [name for name, value in expected.items() if not same_bits(value, eager[name].cpu())] == []
    assert [name for name, value in expected.items() if not same_bits(value, compiled[name].cpu())] == []
