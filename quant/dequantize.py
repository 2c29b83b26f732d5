"""dequantize: x = (codes - zero_point) * scale, or (codes - mid) * scale + zero_point in the FLOAT domain."""

from __future__ import annotations

import torch
from torch import Tensor

from kernels.fma import fma
from kernels.narrow import narrow
from kernels.round_to_odd import add_to_odd
from quant import decisions as d
from quant.codes import Quantized, scale_in_use, zero_point_in_use
from quant.computed import rescale_dtype_of
from quant.device import op
from quant.granularity import groups_of
from quant.legality import INPUT_DTYPES
from quant.mapping import ZeroPointDomain
from quant.qparams import cast_to_integer
from quant.scheme import TensorScheme


def dequantize(quantized: Quantized, dtype: torch.dtype) -> Tensor:
    """x = (codes - zero_point) * scale, rounded to `dtype` (O) where and as often as the rules say.

    Returns the shape of the codes, in O, or in fp32 under operand_dtype float32. No gradient flows. Raises ValueError
    for an O other than fp32, bf16 or fp16.
    """
    if dtype not in INPUT_DTYPES:
        raise ValueError(f"dtype is {dtype}; dequantize returns float32, bfloat16 or float16")
    with torch.no_grad():
        return _dequantize(quantized, dtype)


def _dequantize(quantized: Quantized, dtype: torch.dtype) -> Tensor:
    qparams, scheme, rules = quantized.qparams, quantized.qparams.scheme, quantized.qparams.scheme.rules
    groups = groups_of(scheme.granularity, tuple(quantized.codes.shape))
    scale = scale_in_use(qparams, rules.dequantize_scale, groups)
    zero_point = zero_point_in_use(qparams, groups)
    codes = groups.split(quantized.codes)
    wide = rescale_dtype_of(scheme, dtype)
    result_dtype = torch.float32 if rules.operand_dtype == d.OperandDtype.FLOAT32 else dtype
    if scheme.zero_point_domain == ZeroPointDomain.FLOAT:
        assert zero_point is not None
        return groups.join(_place(codes, scale, zero_point, scheme, dtype, result_dtype))
    distance = _distance(codes, zero_point, scheme, dtype)
    product = op(narrow(distance, wide) * narrow(scale, wide), rules)
    return groups.join(op(narrow(product, result_dtype), rules))


def _distance(codes: Tensor, zero_point: Tensor | None, scheme: TensorScheme, dtype: torch.dtype) -> Tensor:
    """q - z in the dtype of `subtract_dtype`, as a float tensor."""
    rule = scheme.rules.subtract_dtype
    if rule == d.SubtractDtype.INT32:
        whole = _int32(codes) if zero_point is None else _int32(codes) - _int32(zero_point)
        return whole.to(dtype)
    assert isinstance(scheme.scale_dtype, torch.dtype)
    chosen = {d.SubtractDtype.OUTPUT: dtype, d.SubtractDtype.SCALE: scheme.scale_dtype}.get(rule, torch.float32)
    distance = codes.to(chosen)
    return distance if zero_point is None else op(distance - zero_point.to(chosen), scheme.rules)


def _int32(t: Tensor) -> Tensor:
    return cast_to_integer(t, torch.int32) if t.dtype.is_floating_point else t.to(torch.int32)


def _place(
    codes: Tensor, scale: Tensor, zero_point: Tensor, scheme: TensorScheme, dtype: torch.dtype, result: torch.dtype
) -> Tensor:
    """(q - mid) * s + z, the FLOAT domain, with one, two or three roundings."""
    rules, wide = scheme.rules, rescale_dtype_of(scheme, dtype)
    distance = (codes.to(torch.float32) - scheme.midpoint).to(dtype)
    if rules.rescale_fusion != d.RescaleFusion.TWO_ROUNDINGS:
        return op(narrow(_fused(distance, scale, zero_point, scheme), result), rules)
    product = op(narrow(distance, wide) * narrow(scale, wide), rules)
    if rules.rescale_intermediate == d.RescaleIntermediate.OUTPUT:
        product = op(narrow(product, dtype), rules)
    return op(narrow(_add(product, zero_point), result), rules)


def _add(product: Tensor, zero_point: Tensor) -> Tensor:
    """product + z in the wider of the two dtypes; from float64, rounded to odd so that the cast that follows rounds once."""
    if product.dtype == torch.float64:
        return add_to_odd(product, zero_point.double())
    return product + zero_point


def _fused(distance: Tensor, scale: Tensor, zero_point: Tensor, scheme: TensorScheme) -> Tensor:
    """The multiply-add with one rounding to fp32, in either of the two orders kernels use."""
    scale, zero_point = scale.float(), zero_point.float()
    if scheme.rules.rescale_fusion == d.RescaleFusion.FMA:
        return fma(distance.float(), scale, zero_point)
    offset = fma(torch.full_like(scale, -scheme.midpoint), scale, zero_point)
    return fma(distance.float() + scheme.midpoint, scale, offset)
