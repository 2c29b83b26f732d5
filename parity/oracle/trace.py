"""oracle.trace: every stage of one tensor as its scheme declares it, each step exact and rounded once."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import numpy as np
import torch
from torch import Tensor

from parity.oracle.arithmetic import Arithmetic, Values
from parity.oracle.binary_format import FLOAT32
from parity.oracle.bulk import Bulk
from parity.oracle.codes import Codes, codes_of, storage_dtype, stored_codes
from parity.oracle.declared import Declared
from parity.oracle.dequantize import dequantized, result_format
from parity.oracle.encoding import decode, encode
from parity.oracle.grouping import Grouping
from parity.oracle.rational import Rational
from parity.oracle.scale import Scales, scale_in_use, scales_of
from parity.oracle.tie import tie_distance
from parity.oracle.zero_point import ZeroPoint, integers_of, zero_point_of
from quant import decisions as d
from quant.granularity import Stacked
from quant.scheme import ResolvedScheme, TensorScheme

RATIONAL_LIMIT = 4096
"""Elements up to which AUTOMATIC takes the rational form: about a second."""


class Form(StrEnum):
    """How the exact steps are carried out; the bits are the same."""

    AUTOMATIC = "automatic"  # rational up to RATIONAL_LIMIT elements, then bulk
    RATIONAL = "rational"
    BULK = "bulk"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class OracleTrace:
    """The stages of one tensor, in the dtypes that the scheme declares for them.

    scale and zero_point (None in the NONE domain): shape n_i / b_i. levels: on two levels, of which scale is the
    product, what is stored of each group and, as often, of the tensor. codes and dequantized: the shape of x; codes are
    the stored integers, or floats where fake quantization keeps them. tie_distance: float64, the distance of each exact
    quotient to the nearest point where its code changes, in ulps of the dtype of the quotient. product_scale is the
    scale that a product of codes multiplies by, product_zero_point the one that it subtracts.
    """

    scheme: ResolvedScheme
    scale: Tensor
    levels: tuple[Tensor, Tensor] | None
    zero_point: Tensor | None
    codes: Tensor
    dequantized: Tensor
    tie_distance: Tensor
    product_scale: Tensor
    product_zero_point: Tensor | None

    @property
    def near_tie(self) -> Tensor:
        """bool: the exact quotient lies within half an ulp of a tie, so that its own rounding may decide the code."""
        return self.tie_distance <= 0.5

    def stage(self, name: str) -> Tensor | None:
        """The stage of that name without its operand ("codes"); None where the scheme declares no such stage."""
        return {
            "scale": self.scale,
            "zero_point": self.zero_point,
            "codes": self.codes,
            "dequantized": self.dequantized,
        }[name]


@dataclass(frozen=True, slots=True, kw_only=True)
class Steps:
    """The same, as values in rows: what the stages, and the gradient, are made of."""

    declared: Declared
    arithmetic: Arithmetic
    grouping: Grouping
    scales: Scales
    zero_point: ZeroPoint | None
    codes: Codes


def trace(
    x: Tensor, scheme: TensorScheme, *, fake: bool, output_dtype: torch.dtype, form: Form = Form.AUTOMATIC
) -> OracleTrace:
    """Scale, zero point, codes and dequantized values of x, as `scheme` and its rules declare them.

    x: fp32, bf16 or fp16, of a shape that the granularity divides. fake: whether code_cast says what the codes are, as
    in QAT-prepare; otherwise they are integers, as PTQ stores them. Raises ValueError for an illegal scheme, and
    for a NaN under nan_code raise.
    """
    with np.errstate(all="ignore"):
        return _stages(steps_of(x, scheme, output_dtype, form), fake)


def steps_of(x: Tensor, scheme: TensorScheme, output_dtype: torch.dtype, form: Form) -> Steps:
    """Everything up to the codes."""
    declared = Declared.of(scheme, x.dtype, output_dtype)
    by_rationals = form == Form.RATIONAL or (form == Form.AUTOMATIC and x.numel() <= RATIONAL_LIMIT)
    m: Arithmetic = (Rational if by_rationals else Bulk)(
        flush=declared.rules.subnormals == d.Subnormals.FLUSH,
        float64_once=declared.rules.float64_cast == d.Float64Cast.ONCE,
    )
    grouping = Grouping.of(declared.scheme.granularity, tuple(x.shape))
    rows = m.read(grouping.rows(decode(x)))
    tensors = grouping.qparam_shape[0] if isinstance(declared.scheme.granularity, Stacked) else 1
    scales = scales_of(rows, declared, m, tensors=tensors)
    zero_point = zero_point_of(scales, declared, m)
    codes = codes_of(rows, scales, zero_point, declared, m)
    return Steps(declared=declared, arithmetic=m, grouping=grouping, scales=scales, zero_point=zero_point, codes=codes)


def _stages(steps: Steps, fake: bool) -> OracleTrace:
    de, m, grouping = steps.declared, steps.arithmetic, steps.grouping
    if fake and de.rules.code_cast == d.CodeCast.NONE:
        values = steps.codes.values
        codes = encode(grouping.placed(m.write(values)), steps.codes.form)
    else:
        integers = stored_codes(steps.codes, de, m)
        values = m.read(integers.astype(np.float64))
        codes = torch.from_numpy(grouping.placed(integers)).to(storage_dtype(de))
    back = dequantized(values, steps.scales, steps.zero_point, de, m)
    used, used_form = scale_in_use(steps.scales, de.rules.dequantize_scale, de, m)
    zero_point, levels = steps.zero_point, None
    if steps.scales.upper is not None:
        stored, upper = _per_group(steps.scales.stored, steps), _per_group(steps.scales.upper, steps)
        levels = encode(stored, de.scale), encode(upper, FLOAT32)
    return OracleTrace(
        scheme=de.scheme,
        scale=encode(_per_group(steps.scales.effective, steps), de.scale if levels is None else FLOAT32),
        levels=levels,
        zero_point=None if zero_point is None else _stored_zero_point(zero_point.stored, steps),
        codes=codes,
        dequantized=encode(grouping.placed(m.write(back)), result_format(de)),
        tie_distance=torch.from_numpy(grouping.placed(tie_distance(steps.codes.quotient, de.scheme, m))),
        product_scale=encode(_per_group(used, steps), used_form),
        product_zero_point=None if zero_point is None else _stored_zero_point(zero_point.in_use, steps),
    )


def _per_group(values: Values, steps: Steps) -> Any:
    return np.reshape(steps.arithmetic.write(values), steps.grouping.qparam_shape)


def _stored_zero_point(values: Any, steps: Steps) -> Tensor:
    if steps.declared.zero_point is not None:
        return encode(_per_group(values, steps), steps.declared.zero_point)
    dtype = steps.declared.scheme.zero_point_dtype
    assert isinstance(dtype, torch.dtype)
    integers = values if values.dtype == np.int64 else integers_of(values, steps.arithmetic)
    return torch.from_numpy(np.reshape(integers, steps.grouping.qparam_shape)).to(dtype)
