"""The same values at other strides: a layout may never move a bit."""

from __future__ import annotations

import torch
from torch import Tensor


def laid_out(x: Tensor, layout: str) -> Tensor:
    """A tensor equal to x in shape and bits, with the strides that `layout` names."""
    if layout == "transposed" and x.dim() >= 2:
        return x.transpose(-1, -2).contiguous().transpose(-1, -2)
    if layout == "sliced" and x.dim() >= 1:
        wide = torch.zeros(*x.shape[:-1], 2 * x.shape[-1], dtype=x.dtype, device=x.device)
        wide[..., ::2] = x
        return wide[..., ::2]
    if layout == "offset":
        buffer = torch.zeros(x.numel() + 3, dtype=x.dtype, device=x.device)
        buffer[3:] = x.reshape(-1)
        return buffer[3:].view(x.shape)
    if layout == "expanded" and x.dim() >= 2:
        return x.narrow(0, 0, 1).expand(x.shape)
    return x
