"""One operand of a layer, quantized for real or in pretence: the same choose, quantize and dequantize either way."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from quant import decisions as d
from quant.codes import Quantized, code_values, quantize, store_codes
from quant.dequantize import dequantize
from quant.fused import fused_operand
from quant.gradient import pass_through, straight_through_mask
from quant.qparams import QParams, choose_qparams
from quant.scheme import TensorScheme


@dataclass(frozen=True, slots=True, kw_only=True)
class Operand:
    """What became of one tensor on its way into a product: qparams, codes, their bytes if packed, values read back."""

    qparams: QParams
    codes: Tensor
    dequantized: Tensor
    packed: Tensor | None = None


def quantized_operand(x: Tensor, scheme: TensorScheme, qparams: QParams | None = None) -> Operand:
    """x quantized to stored integer codes and read back in its own dtype; no gradient flows.

    `qparams` are chosen already, from an observed range; None = from x itself.
    """
    in_one = fused_operand(x, scheme, inside=False) if qparams is None else None
    if in_one is not None and in_one.codes is not None:
        return Operand(qparams=in_one.qparams, codes=in_one.codes, dequantized=in_one.dequantized)
    quantized = quantize(x, choose_qparams(x, scheme) if qparams is None else qparams)
    return Operand(qparams=quantized.qparams, codes=quantized.codes, dequantized=dequantize(quantized, x.dtype))


def pretended(x: Tensor, qparams: QParams) -> tuple[Tensor, Operand]:
    """(codes before their clamp, the operand): integer codes under code_cast integer, else float ones. No gradient."""
    with torch.no_grad():
        unclamped, values = code_values(x, qparams)
        keeps = qparams.scheme.rules.code_cast is not d.CodeCast.INTEGER
        codes = values if keeps else store_codes(values, qparams.scheme)
        dequantized = dequantize(Quantized(codes=codes, qparams=qparams), x.dtype)
    return unclamped, Operand(qparams=qparams, codes=codes, dequantized=dequantized)


def fake_operand(x: Tensor, scheme: TensorScheme, qparams: QParams | None = None) -> Operand:
    """x quantized in pretence, with the straight-through gradient of `gradient_mask` and `gradient_product` from
    `dequantized` to x. `qparams` are chosen already, from an observed range; None = from x itself.
    """
    trains = x.requires_grad and torch.is_grad_enabled() and scheme.rules.gradient_mask is not d.GradientMask.ALL
    in_one = fused_operand(x, scheme, inside=trains) if qparams is None else None
    if in_one is not None and in_one.codes is not None:
        operand = Operand(qparams=in_one.qparams, codes=in_one.codes, dequantized=in_one.dequantized)
        mask = in_one.inside
    else:
        unclamped, operand = pretended(x, choose_qparams(x, scheme) if qparams is None else qparams)
        mask = straight_through_mask(x, unclamped, operand.qparams) if trains else None
    if not trains:
        return operand
    through = _StraightThrough.apply(x, operand.dequantized, mask, operand.qparams)  # type: ignore[no-untyped-call]  # autograd has no types
    return replace(operand, dequantized=through)


def fake_quantize(x: Tensor, scheme: TensorScheme) -> Tensor:
    """dequantize(quantize(x)) with a straight-through gradient.

    x: fp32, bf16 or fp16 of any shape the granularity divides; returns its shape and dtype (fp32 under operand_dtype
    float32). Raises what choose_qparams raises. Bengio et al. 2013 for the estimator.
    """
    if not (x.requires_grad and torch.is_grad_enabled()):
        in_one = fused_operand(x, scheme, inside=False, codes=False)
        if in_one is not None:
            return in_one.dequantized
    return fake_operand(x, scheme).dequantized


class _StraightThrough(torch.autograd.Function):
    """dequantized forwards; gy where the mask holds, rescaled as `gradient_product` says, backwards."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, dequantized: Tensor, mask: Tensor | None, qparams: QParams) -> Tensor:
        ctx.mask, ctx.qparams, ctx.dtype = mask, qparams, x.dtype
        return dequantized.clone()  # a view of an input could not be modified in place

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        return pass_through(grads[0], ctx.mask, ctx.qparams, ctx.dtype), None, None, None
