"""Inputs or codes x scales x zero points: a slice is one scale with all of them, of float32 with one part of them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from parity.bits import dtype_name
from parity.formats import hexadecimal
from parity.proving.block import BLOCK, Block, told
from parity.proving.claim import Claim, Step
from parity.proving.operands import Inputs, positive_scales
from quant import ZeroPointDomain


@dataclass(frozen=True, kw_only=True, eq=False)
class Grid:
    """Inputs x scales x zero points. scales: of every slice, so that one stands once for each part of the inputs."""

    inputs: Inputs
    scales: Tensor
    zero_points: tuple[int, ...]
    claim: Claim

    @classmethod
    def of(cls, claim: Claim, device: str) -> Grid:
        """Inputs, or the grid's codes, against every positive finite scale, or those that the claim names."""
        qmin, qmax = claim.grid
        if claim.step is Step.DEQUANTIZE:
            codes = torch.arange(qmin, qmax + 1).to(torch.int8 if qmin < 0 else torch.uint8)
            inputs = Inputs.at_once("codes", codes.to(device))
        else:
            inputs = Inputs.finite(claim.torch_dtype, device)
        zero_points = () if claim.domain is ZeroPointDomain.NONE else claim.zero_points
        chosen = torch.tensor(claim.scales, dtype=torch.float64).to(claim.scale_dtype)
        scales = chosen if claim.scales else positive_scales(claim.scale_dtype)
        return cls(
            inputs=inputs,
            scales=scales.repeat_interleave(inputs.parts).to(device),
            zero_points=zero_points,
            claim=claim,
        )

    @property
    def slices(self) -> int:
        return len(self.scales)

    @property
    def sentence(self) -> str:
        name, chosen = dtype_name(self.claim.scale_dtype), self.claim.scales
        scales = f"{len(self.scales):,} positive finite {name} scales"
        if chosen:
            scales = f"{name} scale{'s' if len(chosen) > 1 else ''} {', '.join(map(hexadecimal, chosen))}"
        parts = [f"{self.inputs.total:,} {self.inputs.noun}", scales]
        if self.zero_points:
            several = len(self.zero_points) > 1
            points = f"{len(self.zero_points):,} zero points" if several else f"zero point {self.zero_points[0]}"
            follows = self.claim.domain is ZeroPointDomain.FLOAT
            parts.append(f"{points} in units of the scale" if follows else points)
        return " x ".join(parts)

    @property
    def not_covered(self) -> tuple[str, ...]:
        missing = ["every other scale" if self.claim.scales else "scales that are zero, negative or not finite"]
        if self.claim.step is not Step.DEQUANTIZE:
            missing.append("inputs that are NaN or infinite")
        qmin, qmax = self.claim.grid
        if self.claim.domain is ZeroPointDomain.FLOAT:
            missing.append("zero points that are no rounded multiple of the scale by a code named here")
        elif self.zero_points and len(self.zero_points) < qmax - qmin + 1:
            missing.append("the grid's other zero points")
        return tuple(missing)

    def blocks(self, part: range) -> Iterator[Block]:
        for first, values, scales in self._tiles(part, max(1, BLOCK[self.scales.device.type] // self.inputs.size)):
            scale = scales.unsqueeze(1)
            every = values.expand(len(scales), -1).contiguous()  # strides of zero slow every operation
            for code in self.zero_points or (None,):
                zero_point = self._zero_point(scale, code)
                yield Block(first=first, slices=len(scales), values=every, scale=scale, zero_point=zero_point)

    def tiles(self, part: range) -> Iterator[tuple[Tensor, Tensor]]:
        """(inputs, the scales that each of them meets) of some slices, the zero points aside."""
        for _, values, scales in self._tiles(part, len(part)):
            yield values, scales

    def _tiles(self, part: range, rows: int) -> Iterator[tuple[int, Tensor, Tensor]]:
        rows = rows if self.inputs.parts == 1 else 1
        for first in range(part.start, part.stop, rows):
            values = self.inputs.part(first % self.inputs.parts)
            yield first, values, self.scales[first : min(first + rows, part.stop)]

    def operands(self, block: Block, index: tuple[int, int]) -> dict[str, str]:
        row, column = index
        assert block.scale is not None
        value = block.values[row, column].item()
        named = {"code" if self.claim.step is Step.DEQUANTIZE else "x": told(value)}
        named["scale"] = told(block.scale[row, 0].item())
        if block.zero_point is not None:
            named["zero_point"] = told(block.zero_point[row, 0].item())
        return named

    def _zero_point(self, scale: Tensor, code: int | None) -> Tensor | None:
        if code is None:
            return None
        if self.claim.domain is ZeroPointDomain.FLOAT:
            return (scale.float() * code).to(self.claim.torch_dtype)
        return torch.full_like(scale, code, dtype=torch.int32)
