"""What a party makes of a block of operands: the engine by its public functions, or a black box by its callables."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, TypeAlias

import torch
from torch import Tensor

from parity.backends.functions import Functions
from parity.bits import bits, storage
from parity.proving.block import Block
from parity.proving.claim import Claim, Step
from parity.proving.party import Party, Path
from quant import QParams, Quantized, choose_qparams, dequantize, quantize
from quant.fake import Operand, fake_operand, quantized_operand
from quant.fused import FusedOperand, fused, fused_operand
from quant.scheme import ResolvedScheme

Results: TypeAlias = tuple[Tensor, ...]

# What a round trip tells of a group of two.
ROUND_TRIP: Final = ("scale", "zero_point", "code 0", "code 1", "dequantized 0", "dequantized 1")


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineLane:
    """codes, values, or scale and zero point, as the step says; each [rows, n], or [1, n] for pairs."""

    scheme: ResolvedScheme
    dtype: torch.dtype
    step: Step
    path: Path = Path.PUBLIC

    def __call__(self, block: Block) -> Results:
        if self.step is Step.ROUND_TRIP:
            return self._round_trip(block.values.T.contiguous())
        if block.scale is None:
            chosen = choose_qparams(block.values, self.scheme)
            return (chosen.scale,) if chosen.zero_point is None else (chosen.scale, chosen.zero_point)
        qparams = QParams(scale=block.scale, zero_point=block.zero_point, scheme=self.scheme)
        if self.step is Step.QUANTIZE:
            return (quantize(block.values, qparams).codes,)
        if self.step is Step.DEQUANTIZE:
            return (dequantize(Quantized(codes=block.values, qparams=qparams), self.dtype),)
        operand = quantized_operand if self.path is Path.STORED else fake_operand
        return (operand(block.values, self.scheme, qparams).dequantized,)

    def _round_trip(self, pairs: Tensor) -> Results:
        """What becomes of [n, 2]: a row of n for each of ROUND_TRIP. Raises ValueError for what no kernel fuses."""
        made: Operand | FusedOperand | None
        if self.path is Path.FUSED:
            with fused():
                made = fused_operand(pairs, self.scheme, inside=False)
        else:
            made = quantized_operand(pairs, self.scheme)
        if made is None or made.codes is None:
            raise ValueError("no fused kernel covers these rules; they are the engine's, on cpu or cuda")
        scale, zero_point = made.qparams.scale.T, made.qparams.zero_point
        middle = torch.zeros_like(scale, dtype=torch.int32) if zero_point is None else zero_point.T
        return (scale, middle, *made.codes.T.contiguous().split(1), *made.dequantized.T.contiguous().split(1))


Lane: TypeAlias = Callable[[Block], Results]


@dataclass(frozen=True, slots=True, kw_only=True)
class FunctionsLane:
    """The same by a black box, whose fake_quantize is dequantize of quantize."""

    functions: Functions
    scheme: ResolvedScheme
    dtype: torch.dtype
    step: Step

    def __call__(self, block: Block) -> Results:
        box, scheme = self.functions, self.scheme
        if block.scale is None:
            scale, zero_point = box.choose_qparams(block.values, scheme)
            return (scale,) if zero_point is None else (scale, zero_point)
        qparams = block.scale, block.zero_point
        codes = block.values if self.step is Step.DEQUANTIZE else box.quantize(block.values, *qparams, scheme)
        if self.step is Step.QUANTIZE:
            return (codes,)
        return (box.dequantize(codes, *qparams, scheme, self.dtype),)


def lane_of(claim: Claim, party: Party) -> Lane:
    """The lane of a party that is none of the oracle's."""
    if party.functions is not None:
        scheme = claim.scheme(party)
        return FunctionsLane(functions=party.functions, scheme=scheme, dtype=claim.torch_dtype, step=claim.step)
    return EngineLane(scheme=claim.scheme(party), dtype=claim.torch_dtype, step=claim.step, path=party.path)


def unlike(a: Results, b: Results) -> Tensor | None:
    """bool [rows, n]: where any result differs in a bit, two NaN being equal; None where none does.

    Raises ValueError where the two lanes return other dtypes.
    """
    found: Tensor | None = None
    for one, other in zip(a, b, strict=True):
        if one.dtype is not other.dtype:
            raise ValueError(f"one party returns {one.dtype} and the other {other.dtype}; no bit of them can be equal")
        if torch.equal(storage(one), storage(other)):
            continue
        differs = bits(one) != bits(other)
        found = differs if found is None else found | differs
    return found if found is None or bool(found.any()) else None
