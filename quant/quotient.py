"""x / s in units of codes, before any rounding to integers, and the qparams as the steps after them read them."""

from __future__ import annotations

import torch
from torch import Tensor

from kernels.divide import divide, reciprocal, reciprocal_to_odd
from kernels.narrow import narrow
from quant import decisions as d
from quant.computed import code_dtype_of, origin_dtype_of, quotient_dtype_of, read_scale_dtype_of
from quant.device import cast, op
from quant.granularity import Groups
from quant.mapping import ZeroPointDomain
from quant.qparams import QParams
from quant.scale import readable, replace_zero_scale


def quotient(x: Tensor, qparams: QParams, groups: Groups, *, limited: bool = False) -> Tensor:
    """x / s, or in the FLOAT domain (x - o) / s with o the value whose code is 0; grouped views in and out.

    `limited` brings x into +-(s * qmax) first.
    """
    scheme, rules = qparams.scheme, qparams.scheme.rules
    scale = scale_in_use(qparams, rules.code_scale, groups)
    dtype = quotient_dtype_of(scheme, x.dtype)
    if scheme.zero_point_domain is ZeroPointDomain.FLOAT:
        divides = rules.float_code_division is d.FloatCodeDivision.DIVIDE
        origin = cast(_origin(scale, qparams, groups, x.dtype), dtype, rules)
        dividend = op(cast(x, dtype, rules) - origin, rules)
    else:
        divides = rules.code_division is d.CodeDivision.DIVIDE
        dividend = cast(x, dtype, rules)
        if limited:
            limit = _scaled(scale, scheme.qmax, qparams, dtype)
            dividend = dividend.clamp(-limit, limit)
    if divides:
        return op(divide(dividend, cast(scale, dtype, rules)), rules)
    return op(dividend * reciprocal_of(scale, qparams, dtype), rules)


def scale_in_use(qparams: QParams, source: d.ScaleSource, groups: Groups) -> Tensor:
    """The scale a step reads, in S, spread over its groups; UNROUNDED keeps the wider dtype it was computed in."""
    rules, scale = qparams.scheme.rules, qparams.unrounded_scale
    if source is d.ScaleSource.STORED:
        scale = readable(qparams.effective_scale)
    if scale is None:
        raise ValueError(
            "the rules read the unrounded scale, but these qparams hold only the stored one; choose them with "
            "choose_qparams, or use rules with code_scale and dequantize_scale stored"
        )
    if rules.zero_scale_at is d.ZeroScaleAt.USE:
        scale = replace_zero_scale(scale, rules, scale.dtype)
    return groups.spread(scale)


def zero_point_in_use(qparams: QParams, groups: Groups) -> Tensor | None:
    """The zero point as later steps read it: spread over its groups, a stored offset undone; None if there is none."""
    zero_point = whole_zero_point(qparams)
    return None if zero_point is None else groups.spread(zero_point)


def whole_zero_point(qparams: QParams) -> Tensor | None:
    """The zero point in its own shape, a stored offset undone; None if there is none."""
    undoes = qparams.scheme.rules.zero_point_offset is d.ZeroPointOffset.MINUS_ONE
    return qparams.zero_point + 1 if undoes and qparams.zero_point is not None else qparams.zero_point


def reciprocal_of(scale: Tensor, qparams: QParams, dtype: torch.dtype) -> Tensor:
    """1/s rounded to S and cast to `dtype` (C), or rounded to C at once."""
    rules, scale_dtype = qparams.scheme.rules, read_scale_dtype_of(qparams.scheme)
    if rules.reciprocal_dtype is d.ReciprocalDtype.CODE:
        return op(reciprocal(cast(scale, dtype, rules)), rules)
    if scale.dtype is scale_dtype:
        return cast(op(reciprocal(scale), rules), dtype, rules)
    to_odd = reciprocal_to_odd(scale.double())  # so that rounding to S is the one rounding
    return cast(op(narrow(to_odd, scale_dtype), rules), dtype, rules)


def _origin(scale: Tensor, qparams: QParams, groups: Groups, dtype: torch.dtype) -> Tensor:
    """o = z - s * mid, or the group's minimum."""
    scheme, rules = qparams.scheme, qparams.scheme.rules
    if rules.float_code_origin is d.FloatCodeOrigin.MIN:
        if qparams.minimum is None:
            raise ValueError(
                "float_code_origin is min, but these qparams hold no minimum; choose them with choose_qparams"
            )
        return groups.spread(qparams.minimum)
    assert qparams.zero_point is not None
    offset = _scaled(scale, scheme.midpoint, qparams, code_dtype_of(scheme, dtype))
    origin_dtype = origin_dtype_of(scheme, dtype)
    return op(groups.spread(qparams.zero_point).to(origin_dtype) - cast(offset, origin_dtype, rules), rules)


def _scaled(scale: Tensor, code: float, qparams: QParams, dtype: torch.dtype) -> Tensor:
    """s * code, rounded to S under promotion (as torchao computes it) and to `dtype` (C) otherwise."""
    rules = qparams.scheme.rules
    promoted = rules.code_dtype is d.CodeDtype.PROMOTED
    return op(cast(scale, read_scale_dtype_of(qparams.scheme) if promoted else dtype, rules) * code, rules)
