"""dequantize: x = (codes - zero_point) * scale, or (codes - mid) * scale + zero_point in the FLOAT domain."""

from __future__ import annotations

import torch
from torch import Tensor

from kernels.fma import fma
from kernels.round_to_odd import add_to_odd
from quant import decisions as d
from quant.codes import Quantized
from quant.computed import read_scale_dtype_of, rescale_dtype_of
from quant.device import cast, op
from quant.granularity import groups_of
from quant.integers import cast_to_integer
from quant.legality import INPUT_DTYPES
from quant.mapping import ZeroPointDomain
from quant.quotient import scale_in_use, zero_point_in_use
from quant.scheme import ResolvedScheme


def dequantize(quantized: Quantized, dtype: torch.dtype) -> Tensor:
    """x = (codes - zero_point) * scale, rounded to `dtype` (O) where and as often as the rules say.

    Returns the shape of the codes, in O, or in fp32 under operand_dtype float32. No gradient flows. Raises ValueError
    for an O other than fp32, bf16 or fp16.
    """
    if dtype not in INPUT_DTYPES:
        raise ValueError(f"dtype is {dtype}; dequantize returns float32, bfloat16 or float16")
    qparams, scheme = quantized.qparams, quantized.qparams.scheme
    groups = groups_of(scheme.granularity, tuple(quantized.codes.shape))
    with torch.no_grad():
        codes, scale = groups.split(quantized.codes), scale_in_use(qparams, scheme.rules.dequantize_scale, groups)
        zero_point = zero_point_in_use(qparams, groups)
        if scheme.zero_point_domain is ZeroPointDomain.FLOAT:
            assert zero_point is not None
            return groups.join(_placed(codes, scale, zero_point, scheme, dtype))
        return groups.join(_rescaled(_distance(codes, zero_point, scheme, dtype), scale, scheme, dtype))


def _distance(codes: Tensor, zero_point: Tensor | None, scheme: ResolvedScheme, dtype: torch.dtype) -> Tensor:
    """q - z in the dtype of `subtract_dtype`, as a float tensor."""
    rule = scheme.rules.subtract_dtype
    if rule is d.SubtractDtype.INT32:
        whole = _int32(codes) if zero_point is None else _int32(codes) - _int32(zero_point)
        return whole.to(dtype)
    chosen = torch.float32
    if rule is not d.SubtractDtype.FLOAT32:
        chosen = dtype if rule is d.SubtractDtype.OUTPUT else read_scale_dtype_of(scheme)
    distance = codes.to(chosen)
    return distance if zero_point is None else op(distance - zero_point.to(chosen), scheme.rules)


def _rescaled(distance: Tensor, scale: Tensor, scheme: ResolvedScheme, dtype: torch.dtype) -> Tensor:
    """(q - z) * s in T, then rounded to the operand's dtype."""
    rules, wide = scheme.rules, rescale_dtype_of(scheme, dtype)
    product = op(cast(distance, wide, rules) * cast(scale, wide, rules), rules)
    return cast(product, operand_dtype_of(scheme, dtype), rules)


def _placed(codes: Tensor, scale: Tensor, zero_point: Tensor, scheme: ResolvedScheme, dtype: torch.dtype) -> Tensor:
    """(q - mid) * s + z, the FLOAT domain, with one, two or three roundings; q - mid is rounded to O."""
    rules, wide = scheme.rules, rescale_dtype_of(scheme, dtype)
    distance = cast(codes.to(torch.float32) - scheme.midpoint, dtype, rules)
    if rules.rescale_fusion is not d.RescaleFusion.TWO_ROUNDINGS:
        value = _fused(distance, scale, zero_point, scheme)
    else:
        value = op(cast(distance, wide, rules) * cast(scale, wide, rules), rules)
        if rules.rescale_intermediate is d.RescaleIntermediate.OUTPUT:
            value = cast(value, dtype, rules)
        value = op(_add(value, zero_point), rules)
    return cast(value, operand_dtype_of(scheme, dtype), rules)


def operand_dtype_of(scheme: ResolvedScheme, dtype: torch.dtype) -> torch.dtype:
    """The dtype in which the product receives the operand: O, or fp32 from kernels that never round it to O."""
    return torch.float32 if scheme.rules.operand_dtype is d.OperandDtype.FLOAT32 else dtype


def _int32(t: Tensor) -> Tensor:
    return cast_to_integer(t, torch.int32) if t.dtype.is_floating_point else t.to(torch.int32)


def _add(product: Tensor, zero_point: Tensor) -> Tensor:
    """product + z in the wider dtype; a float64 sum is rounded to odd, so that the cast after it rounds once."""
    if product.dtype is torch.float64:
        return add_to_odd(product, zero_point.double())
    return product + zero_point


def _fused(distance: Tensor, scale: Tensor, zero_point: Tensor, scheme: ResolvedScheme) -> Tensor:
    """The multiply-add with one rounding to fp32, in either of the two orders kernels use."""
    scale, zero_point = scale.float(), zero_point.float()
    if scheme.rules.rescale_fusion is d.RescaleFusion.FMA:
        return op(fma(distance.float(), scale, zero_point), scheme.rules)
    offset = op(fma(torch.full_like(scale, -scheme.midpoint), scale, zero_point), scheme.rules)
    return op(fma(distance.float() + scheme.midpoint, scale, offset), scheme.rules)
