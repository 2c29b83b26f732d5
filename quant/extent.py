"""How far a group reaches from zero where its extremes are not what counts: a multiple of its mean magnitude."""

from __future__ import annotations

import torch
from torch import Tensor

from kernels.divide import divide
from kernels.sequential_product import sequential_product
from kernels.traced import mean_magnitudes
from quant import decisions as d
from quant.computed import qparam_dtype_of
from quant.device import cast, op
from quant.mapping import Extent
from quant.scheme import ResolvedScheme


def extent_of(x: Tensor, reduced: tuple[int, ...], amax: Tensor, scheme: ResolvedScheme) -> Tensor:
    """mean|x| of every group in Q, or bits times it, or the smaller of that and `amax`, which is max|x| in Q.

    x: a grouped view, its dimensions `reduced` kept as 1. Under range_nan ignore a NaN counts as 0. Jin et al.,
    "PARQ: piecewise-affine regularized quantization", 2025, for the multiple; Ma et al., "The era of 1-bit LLMs", 2024,
    for the mean alone.
    """
    if scheme.rules.range_nan is d.RangeNan.IGNORE:
        x = x.masked_fill(x.isnan(), 0.0)
    mean = op(_mean(x, reduced, scheme), scheme.rules)
    if scheme.extent is Extent.MEAN:
        return mean
    reach = op(mean * scheme.bits, scheme.rules)
    return torch.minimum(reach, amax) if scheme.extent is Extent.CAPPED_ABS_MEAN else reach


def _mean(x: Tensor, reduced: tuple[int, ...], scheme: ResolvedScheme) -> Tensor:
    """mean|x| in Q, summed as `mean_accumulate` says; one by one means in the row-major order of the group."""
    rules, dtype = scheme.rules, qparam_dtype_of(scheme, x.dtype)
    if not reduced:
        return cast(x.abs(), dtype, rules)
    if rules.mean_accumulate is d.MeanAccumulate.NATIVE:
        return cast(x.abs().mean(reduced, keepdim=True), dtype, rules)
    kept = tuple(i for i in range(x.dim()) if i not in reduced)
    rows = x.permute(*kept, *reduced).reshape(*(x.shape[i] for i in kept), -1)
    if rules.mean_accumulate is d.MeanAccumulate.EXACT:
        mean = mean_magnitudes(rows, dtype)
    else:
        flat = rows.abs().reshape(-1, rows.shape[-1])
        ones = flat.new_ones(1, flat.shape[-1])
        total = sequential_product(flat, ones, accumulate_dtype=torch.float32, fused=False, out_dtype=torch.float32)
        mean = cast(divide(total, float(flat.shape[-1])), dtype, rules)
    return mean.reshape([1 if i in reduced else n for i, n in enumerate(x.shape)])
