"""The formats that a resolved scheme declares for one tensor, by the letters of the rules: D, Q, S, C, O and Z."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from parity.oracle.binary_format import FLOAT32, FLOAT64, BinaryFormat, format_of, promoted, read_as
from quant import decisions as d
from quant.mapping import ZeroPointDomain
from quant.rules import Rules
from quant.scheme import ResolvedScheme, TensorScheme


@dataclass(frozen=True, slots=True, kw_only=True)
class Declared:
    """A scheme with the formats of its input (D), its output (O), and of everything computed between them."""

    scheme: ResolvedScheme
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
    def qparam(self) -> BinaryFormat:
        """Q, in which range, scale and zero point are computed."""
        return {
            d.QparamDtype.INPUT: self.input,
            d.QparamDtype.FLOAT32: FLOAT32,
            d.QparamDtype.FLOAT64: FLOAT64,
        }[self.rules.qparam_dtype]

    @property
    def scale(self) -> BinaryFormat:
        """Of the stored scale."""
        return format_of(self.scheme.scale_dtype)

    @property
    def read_scale(self) -> BinaryFormat:
        """S, in which later steps read it."""
        return FLOAT32 if self.scheme.global_scale_dtype is not None else read_as(self.scale)

    @property
    def zero_point(self) -> BinaryFormat | None:
        """Z, of the stored zero point; None where that is an integer or there is none."""
        dtype = self.scheme.zero_point_dtype
        return format_of(dtype) if dtype is not None and dtype.is_floating_point else None

    @property
    def code(self) -> BinaryFormat:
        """C, of the quotient x / s."""
        return {
            d.CodeDtype.PROMOTED: promoted(self.input, self.read_scale),
            d.CodeDtype.INPUT: self.input,
            d.CodeDtype.SCALE: self.read_scale,
            d.CodeDtype.FLOAT32: FLOAT32,
            d.CodeDtype.FLOAT64: FLOAT64,
        }[self.rules.code_dtype]

    @property
    def quotient(self) -> BinaryFormat:
        """C, in the FLOAT domain promoted with the format of o in (x - o) / s."""
        return promoted(self.code, self.origin) if self.in_float_domain else self.code

    @property
    def origin(self) -> BinaryFormat:
        """Of o, the value whose code is 0: P(S, Z) under promotion, or Q where o is the minimum; else C."""
        if self.rules.code_dtype != d.CodeDtype.PROMOTED:
            return self.code
        from_minimum = self.rules.float_code_origin == d.FloatCodeOrigin.MIN
        return self.qparam if from_minimum else self.with_zero_point(self.read_scale)

    @property
    def rescale(self) -> BinaryFormat:
        """T, of (q - z) * s or (q - mid) * s; a fused multiply-add is one of float32."""
        if self.in_float_domain and self.rules.rescale_fusion != d.RescaleFusion.TWO_ROUNDINGS:
            return FLOAT32
        return {
            d.RescaleDtype.PROMOTED: promoted(self.output, self.read_scale),
            d.RescaleDtype.SCALE: self.read_scale,
            d.RescaleDtype.OUTPUT: self.output,
            d.RescaleDtype.FLOAT32: FLOAT32,
            d.RescaleDtype.FLOAT64: FLOAT64,
        }[self.rules.float_rescale_dtype if self.in_float_domain else self.rules.rescale_dtype]

    @property
    def in_float_domain(self) -> bool:
        return self.scheme.zero_point_domain == ZeroPointDomain.FLOAT

    def with_zero_point(self, form: BinaryFormat) -> BinaryFormat:
        """P(form, Z): an integer Z promotes nothing."""
        return form if self.zero_point is None else promoted(form, self.zero_point)
