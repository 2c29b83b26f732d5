"""What a party makes of a block of operands: the engine by its public functions, or a black box by its callables."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

import torch
from torch import Tensor

from parity.backends.functions import Functions
from parity.bits import bits, storage
from parity.proving.block import Block
from parity.proving.claim import Claim, Step
from parity.proving.party import Party, Path
from quant import QParams, Quantized, choose_qparams, dequantize, quantize
from quant.fake import fake_operand, quantized_operand
from quant.scheme import ResolvedScheme

Results: TypeAlias = tuple[Tensor, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineLane:
    """codes, values, or scale and zero point, as the step says; each [rows, n], or [1, n] for pairs."""

    scheme: ResolvedScheme
    dtype: torch.dtype
    step: Step
    path: Path = Path.PUBLIC

    def __call__(self, block: Block) -> Results:
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
