"""The operands of a claim, in slices that can be counted apart and in blocks that stay in a cache.

A slice is one scale with every input, or with every code. Of ordered pairs it is row i of their triangle with row
n - 1 - i, which together hold n + 1 pairs for every i.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Final, Protocol

import torch
from torch import Tensor

from parity.bits import dtype_name
from parity.proving.claim import Claim, Step
from parity.proving.operands import finite_values, positive_scales
from quant import ZeroPointDomain

# Elements a block: temporaries of fp32 then fit the second-level cache of a core, and are reused by the allocator.
BLOCK: Final = {"cpu": 2**17, "cuda": 2**25}


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Block:
    """`slices` of them from `first` on: inputs or codes as values [rows, n], with scale and zero_point [rows, 1].

    Of pairs, values are [2, n] and there is no scale; zero_point is None in the NONE domain as well.
    """

    first: int
    slices: int
    values: Tensor
    scale: Tensor | None = None
    zero_point: Tensor | None = None

    @property
    def pairs(self) -> int:
        """Operands that the block holds."""
        return self.values.shape[1] if self.scale is None else self.values.numel()

    def on_cpu(self) -> Block:
        """The same block in the CPU's memory."""
        parts = {
            name: part.cpu() for name in ("values", "scale", "zero_point") if (part := getattr(self, name)) is not None
        }
        return replace(self, **parts)


class Space(Protocol):
    """Every operand of a claim."""

    @property
    def slices(self) -> int: ...
    @property
    def sentence(self) -> str:
        """What is covered, with its counts."""
        ...

    @property
    def not_covered(self) -> tuple[str, ...]: ...
    def blocks(self, part: range) -> Iterator[Block]:
        """The operands of some slices."""
        ...

    def operands(self, block: Block, index: tuple[int, int]) -> dict[str, str]:
        """Those of one element of a block's result, by name, floats in hexadecimal."""
        ...


@dataclass(frozen=True, kw_only=True, eq=False)
class Grid:
    """values x scales x zero points."""

    values: Tensor
    scales: Tensor
    zero_points: tuple[int, ...]
    claim: Claim

    @classmethod
    def of(cls, claim: Claim, device: str) -> Grid:
        """Inputs, or the grid's codes, against every positive finite scale."""
        qmin, qmax = claim.grid
        codes = claim.step is Step.DEQUANTIZE
        stored = torch.int8 if qmin < 0 else torch.uint8
        values = torch.arange(qmin, qmax + 1).to(stored) if codes else finite_values(claim.torch_dtype)
        zero_points = () if claim.domain is ZeroPointDomain.NONE else claim.zero_points
        scales = positive_scales(claim.scale_dtype)
        return cls(values=values.to(device), scales=scales.to(device), zero_points=zero_points, claim=claim)

    @property
    def slices(self) -> int:
        return len(self.scales)

    @property
    def sentence(self) -> str:
        first = "codes" if self.claim.step is Step.DEQUANTIZE else f"finite {dtype_name(self.claim.torch_dtype)} inputs"
        parts = [f"{len(self.values):,} {first}", f"{len(self.scales):,} positive finite {self._scale_name} scales"]
        if self.zero_points:
            several = len(self.zero_points) > 1
            told = f"{len(self.zero_points):,} zero points" if several else f"zero point {self.zero_points[0]}"
            follows = self.claim.domain is ZeroPointDomain.FLOAT
            parts.append(f"{told} in units of the scale" if follows else told)
        return " x ".join(parts)

    @property
    def not_covered(self) -> tuple[str, ...]:
        missing = ["scales that are zero, negative or not finite"]
        if self.claim.step is not Step.DEQUANTIZE:
            missing.append("inputs that are NaN or infinite")
        qmin, qmax = self.claim.grid
        if self.claim.domain is ZeroPointDomain.FLOAT:
            missing.append("zero points that are no rounded multiple of the scale by a code named here")
        elif self.zero_points and len(self.zero_points) < qmax - qmin + 1:
            missing.append("the grid's other zero points")
        return tuple(missing)

    def blocks(self, part: range) -> Iterator[Block]:
        rows = max(1, BLOCK[self.values.device.type] // len(self.values))
        every = self.values.expand(min(rows, len(part)), -1).contiguous()  # strides of zero slow every operation
        for first in range(part.start, part.stop, rows):
            scale = self.scales[first : min(first + rows, part.stop)].unsqueeze(1)
            rows_here = every[: len(scale)]
            for code in self.zero_points or (None,):
                zero_point = self._zero_point(scale, code)
                yield Block(first=first, slices=len(scale), values=rows_here, scale=scale, zero_point=zero_point)

    def operands(self, block: Block, index: tuple[int, int]) -> dict[str, str]:
        row, column = index
        assert block.scale is not None
        value = block.values[row, column].item()
        told = {"code" if self.claim.step is Step.DEQUANTIZE else "x": _text(value)}
        told["scale"] = _text(block.scale[row, 0].item())
        if block.zero_point is not None:
            told["zero_point"] = _text(block.zero_point[row, 0].item())
        return told

    @property
    def _scale_name(self) -> str:
        return dtype_name(self.claim.scale_dtype)

    def _zero_point(self, scale: Tensor, code: int | None) -> Tensor | None:
        if code is None:
            return None
        if self.claim.domain is ZeroPointDomain.FLOAT:
            return (scale.float() * code).to(self.claim.torch_dtype)
        return torch.full_like(scale, code, dtype=torch.int32)


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
        return len(self.values) // 2

    @property
    def sentence(self) -> str:
        n = len(self.values)
        return f"{n * (n + 1) // 2:,} ordered pairs (min, max) of finite {dtype_name(self.claim.torch_dtype)} values"

    @property
    def not_covered(self) -> tuple[str, ...]:
        return ("ranges with NaN or infinite ends", "how min and max are found in a group of more than two elements")

    def blocks(self, part: range) -> Iterator[Block]:
        n = len(self.values)
        slices = max(1, BLOCK[self.values.device.type] // (n + 1))
        for first in range(part.start, part.stop, slices):
            held = range(first, min(first + slices, part.stop))
            rows = [row for i in held for row in (i, n - 1 - i)]
            low = torch.cat([self.values[row].expand(n - row) for row in rows])
            high = torch.cat([self.values[row:] for row in rows])
            yield Block(first=first, slices=len(held), values=torch.stack([low, high]))

    def operands(self, block: Block, index: tuple[int, int]) -> dict[str, str]:
        low, high = block.values[:, index[1]].tolist()
        return {"min": _text(low), "max": _text(high)}


def space_of(claim: Claim, device: str = "cpu") -> Space:
    """The operands that a claim speaks of, on a device."""
    return (OrderedPairs if claim.step is Step.CHOOSE_QPARAMS else Grid).of(claim, device)


def _text(value: float) -> str:
    return value.hex() if isinstance(value, float) else str(value)
