"""What a claim's rules declare for given operands, by the oracle's steps: no arithmetic of quant has a part in it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from parity.oracle.binary_format import BinaryFormat
from parity.oracle.bulk import Bulk
from parity.oracle.codes import Codes, codes_of, storage_dtype, stored_codes
from parity.oracle.declared import Declared
from parity.oracle.dequantize import dequantized, result_format
from parity.oracle.encoding import decode, encode
from parity.oracle.scale import Scales, scales_of
from parity.oracle.zero_point import ZeroPoint, integers_of, zero_point_of
from parity.proving.block import Block
from parity.proving.claim import Claim, Step
from parity.proving.lane import Results
from quant import decisions as d


@dataclass(frozen=True, slots=True, kw_only=True)
class Declaration:
    """The rules of a claim's first party, carried out in error-free float64 for every element of a block."""

    declared: Declared
    arithmetic: Bulk
    step: Step

    @classmethod
    def of(cls, claim: Claim) -> Declaration:
        rules = claim.a.rules
        return cls(
            declared=Declared.of(claim.scheme(claim.a), claim.torch_dtype, claim.torch_dtype),
            arithmetic=Bulk(
                flush=rules.subnormals == d.Subnormals.FLUSH,
                float64_once=rules.float64_cast == d.Float64Cast.ONCE,
            ),
            step=claim.step,
        )

    def __call__(self, block: Block) -> Results:
        """What the lane would return, of its shapes and dtypes."""
        with np.errstate(all="ignore"):
            if self.step is Step.CHOOSE_QPARAMS:
                return self._qparams(decode(block.values))
            if self.step is Step.DEQUANTIZE:
                values = self.arithmetic.read(block.values.cpu().numpy().astype(np.float64))
                return (self._values(values, block),)
            codes = self._codes(block)
            if self.step is Step.QUANTIZE:
                return (torch.from_numpy(stored_codes(codes, self.declared, self.arithmetic)).to(self._stored),)
            return (self._values(self._pretended(codes), block),)

    @property
    def _stored(self) -> torch.dtype:
        return storage_dtype(self.declared)

    def _codes(self, block: Block) -> Codes:
        scales, zero_point = self._given(block)
        return codes_of(decode(block.values), scales, zero_point, self.declared, self.arithmetic)

    def _pretended(self, codes: Codes) -> Any:
        """The codes that fake quantization reads back: floats, or the integers that are stored."""
        if self.declared.rules.code_cast == d.CodeCast.NONE:
            return codes.values
        return self.arithmetic.read(stored_codes(codes, self.declared, self.arithmetic).astype(np.float64))

    def _values(self, codes: Any, block: Block) -> Tensor:
        scales, zero_point = self._given(block)
        values = dequantized(codes, scales, zero_point, self.declared, self.arithmetic)
        return encode(self.arithmetic.write(values), result_format(self.declared))

    def _given(self, block: Block) -> tuple[Scales, ZeroPoint | None]:
        """The block's scales and zero points, as the steps after their choice read them."""
        assert block.scale is not None
        scale = decode(block.scale)
        scales = Scales(low=None, high=None, unrounded=None, stored=scale, effective=scale)
        if block.zero_point is None:
            return scales, None
        floating = block.zero_point.is_floating_point()
        stored = decode(block.zero_point) if floating else block.zero_point.cpu().numpy().astype(np.float64)
        offset = self.declared.rules.zero_point_offset == d.ZeroPointOffset.MINUS_ONE
        return scales, ZeroPoint(stored=stored, in_use=stored + 1.0 if offset else stored)

    def _qparams(self, pairs: Any) -> Results:
        de, m = self.declared, self.arithmetic
        scales = scales_of(m.read(pairs.T), de, m)
        zero_point = zero_point_of(scales, de, m)
        scale = encode(m.write(scales.stored).T, de.scale)
        if zero_point is None:
            return (scale,)
        form: BinaryFormat | None = de.zero_point
        if form is not None:
            return scale, encode(m.write(zero_point.stored).T, form)
        dtype = de.scheme.zero_point_dtype
        assert isinstance(dtype, torch.dtype)
        return scale, torch.from_numpy(np.ascontiguousarray(integers_of(zero_point.stored, m).T)).to(dtype)
