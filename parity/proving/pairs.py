"""Groups of two: every ordered pair of a 16-bit dtype, or every finite float32 beside a few others.

A slice of ordered pairs is those whose greater magnitude is the i-th or the i-th from the last, as many for every i.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from parity.bits import dtype_name
from parity.formats import hexadecimal
from parity.proving.block import BLOCK, Block, told
from parity.proving.claim import Claim
from parity.proving.operands import Inputs, finite_values


@dataclass(frozen=True, kw_only=True, eq=False)
class OrderedPairs:
    """(min, max) of a group, min <= max."""

    values: Tensor
    claim: Claim

    @classmethod
    def of(cls, claim: Claim, device: str) -> OrderedPairs:
        return cls(values=finite_values(claim.torch_dtype).to(device), claim=claim)

    @property
    def slices(self) -> int:
        return len(self.values) // 4

    @property
    def sentence(self) -> str:
        n = len(self.values)
        return f"{n * (n + 1) // 2:,} ordered pairs (min, max) of finite {dtype_name(self.claim.torch_dtype)} values"

    @property
    def not_covered(self) -> tuple[str, ...]:
        return ("ranges with NaN or infinite ends", "how min and max are found in a group of more than two elements")

    def blocks(self, part: range) -> Iterator[Block]:
        n = len(self.values) // 2
        slices = max(1, BLOCK[self.values.device.type] // (2 * n + 2))
        for first in range(part.start, part.stop, slices):
            held = range(first, min(first + slices, part.stop))
            for line in (self._rising_from, self._rising_to):
                lines = [line(n, magnitude) for i in held for magnitude in (i, n - 1 - i)]
                low, high = (torch.cat(ends) for ends in zip(*lines, strict=True))
                yield Block(first=first, slices=len(held), values=torch.stack([low, high]))

    def _rising_from(self, n: int, magnitude: int) -> tuple[Tensor, Tensor]:
        """(min, max) with min = -magnitude and every max up to +magnitude."""
        high = self.values[n - 1 - magnitude : n + 1 + magnitude]
        return high[:1].expand(len(high)), high

    def _rising_to(self, n: int, magnitude: int) -> tuple[Tensor, Tensor]:
        """(min, max) with max = +magnitude and every min above -magnitude."""
        low = self.values[n - magnitude : n + 1 + magnitude]
        return low, low[-1:].expand(len(low))

    def operands(self, block: Block, index: tuple[int, int]) -> dict[str, str]:
        low, high = block.values[:, index[1]].tolist()
        return {"min": told(low), "max": told(high)}


@dataclass(frozen=True, kw_only=True, eq=False)
class Beside:
    """(x, another): every input with each of the values that the claim names."""

    inputs: Inputs
    claim: Claim
    others: Tensor

    @classmethod
    def of(cls, claim: Claim, device: str) -> Beside:
        others = torch.tensor(claim.beside, dtype=torch.float64).to(claim.torch_dtype)
        return cls(inputs=Inputs.finite(claim.torch_dtype, device), claim=claim, others=others.to(device))

    @property
    def slices(self) -> int:
        return len(self.others) * self.inputs.parts

    @property
    def sentence(self) -> str:
        others = ", ".join(map(hexadecimal, self.claim.beside))
        return f"{self.inputs.total:,} {self.inputs.noun}, each in a group of two with {others}"

    @property
    def not_covered(self) -> tuple[str, ...]:
        return ("every other group", "inputs that are NaN or infinite")

    def blocks(self, part: range) -> Iterator[Block]:
        for i in part:
            another, of_inputs = divmod(i, self.inputs.parts)
            x = self.inputs.part(of_inputs)
            yield Block(first=i, slices=1, values=torch.stack([x, self.others[another].expand_as(x)]))

    def operands(self, block: Block, index: tuple[int, int]) -> dict[str, str]:
        x, another = block.values[:, index[1]].tolist()
        return {"x": told(x), "beside": told(another)}
