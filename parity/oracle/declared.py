"""The formats that a resolved scheme declares for one tensor, by the letters of the rules: D, Q, S, C, O and Z."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from parity.oracle.binary_format import FLOAT32, FLOAT64, BinaryFormat, format_of, promoted
from quant import decisions as d
from quant.rules import Rules
from quant.scheme import TensorScheme


@dataclass(frozen=True, slots=True, kw_only=True)
class Declared:
    """A scheme with the formats of its input (D), its output (O), and of everything computed between them."""

    scheme: TensorScheme
    input: BinaryFormat
    output: BinaryFormat

    @classmethod
    def of(cls, scheme: TensorScheme, dtype: torch.dtype, output_dtype: torch.dtype) -> Declared:
        """The scheme resolved for a tensor of `dtype`; raises what resolving raises."""
        return cls(scheme=scheme.resolved(dtype), input=format_of(dtype), output=format_of(output_dtype))

    @property
    def rules(self) -> Rules:
        return self.scheme.rules

    @property
    def eps(self) -> float:
        """The number that a resolved scheme's eps is."""
        assert isinstance(self.scheme.eps, float)
        return self.scheme.eps

    @property
    def qparam(self) -> BinaryFormat:
        """Q, in which range, scale and zero point are computed."""
        return {
            d.QparamDtype.INPUT: self.input,
            d.QparamDtype.FLOAT32: FLOAT32,
            d.QparamDtype.FLOAT64: FLOAT64,
        }[self.rules.qparam_dtype]

    @property
    def scale(self) -> BinaryFormat:
        """S, of the stored scale."""
        return format_of(self.scheme.scale_dtype)

    @property
    def zero_point(self) -> BinaryFormat | None:
        """Z, of the stored zero point; None where that is an integer or there is none."""
        dtype = self.scheme.zero_point_dtype
        return format_of(dtype) if isinstance(dtype, torch.dtype) and dtype.is_floating_point else None

    @property
    def code(self) -> BinaryFormat:
        """C, of the quotient x / s."""
        return {
            d.CodeDtype.PROMOTED: promoted(self.input, self.scale),
            d.CodeDtype.INPUT: self.input,
            d.CodeDtype.SCALE: self.scale,
            d.CodeDtype.FLOAT32: FLOAT32,
            d.CodeDtype.FLOAT64: FLOAT64,
        }[self.rules.code_dtype]

    def rescale(self, rule: d.RescaleDtype) -> BinaryFormat:
        """T, of (q - z) * s, for either domain's rule."""
        return {
            d.RescaleDtype.PROMOTED: promoted(self.output, self.scale),
            d.RescaleDtype.SCALE: self.scale,
            d.RescaleDtype.OUTPUT: self.output,
            d.RescaleDtype.FLOAT32: FLOAT32,
            d.RescaleDtype.FLOAT64: FLOAT64,
        }[rule]

    def with_zero_point(self, form: BinaryFormat) -> BinaryFormat:
        """P(form, Z): an integer Z promotes nothing."""
        return form if self.zero_point is None else promoted(form, self.zero_point)
