"""scales_and_zeros [K/g, N, 2]: what the int4 products of CPU and CUDA read beside the packed codes, scale first."""

from __future__ import annotations

import torch
from torch import Tensor


def interleave(scale: Tensor, zero_point: Tensor) -> Tensor:
    """Contiguous [K/g, N, 2] of scale and zero point [N, K/g]. Raises ValueError unless shape and dtype agree."""
    if scale.shape != zero_point.shape or scale.dtype != zero_point.dtype:
        raise ValueError(
            f"scale is {scale.dtype} {tuple(scale.shape)} and zero_point {zero_point.dtype} {tuple(zero_point.shape)}; "
            "they are interleaved in one tensor, so shape and dtype must agree"
        )
    return torch.stack((scale, zero_point), dim=-1).transpose(0, 1).contiguous()


def separate(scales_and_zeros: Tensor) -> tuple[Tensor, Tensor]:
    """(scale, zero_point) [N, K/g], the inverse of `interleave`."""
    scale, zero_point = scales_and_zeros.transpose(0, 1).unbind(-1)
    return scale.contiguous(), zero_point.contiguous()
