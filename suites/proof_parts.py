"""part_of(x) = the part of float32's finite inputs, as proofs cut them, in which x lies."""

import torch

from parity.bits import line
from parity.formats import FLOATS
from parity.proving.operands import Inputs


def part_of(x: float) -> int:
    """Among the parts on the CPU; raises AssertionError for a number that float32 would round."""
    assert torch.tensor(x, dtype=torch.float32).item() == x, f"{x} is no float32"
    rank = int(line(torch.tensor(x, dtype=torch.float32))) + FLOATS["float32"].largest
    return rank // Inputs.finite(torch.float32, "cpu").size
