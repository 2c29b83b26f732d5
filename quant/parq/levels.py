"""Every value that a group can represent: its grid's codes, dequantized."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from quant.codes import Quantized
from quant.dequantize import dequantize
from quant.granularity import PerRow
from quant.qparams import QParams

# One tensor of the qparams' shape for each code, from the least code up.
Levels = tuple[Tensor, ...]


def levels_of(qparams: QParams, dtype: torch.dtype) -> Levels:
    """levels[i] = dequantize(code_min + i) in `dtype`, for each group; as many as the grid has codes."""
    scheme = qparams.scheme
    codes = torch.arange(scheme.code_min, scheme.code_max + 1, device=qparams.scale.device)
    rows = replace(
        qparams,
        scale=qparams.scale.reshape(-1, 1),
        zero_point=None if qparams.zero_point is None else qparams.zero_point.reshape(-1, 1),
        unrounded_scale=None if qparams.unrounded_scale is None else qparams.unrounded_scale.reshape(-1, 1),
        minimum=None if qparams.minimum is None else qparams.minimum.reshape(-1, 1),
        scheme=replace(scheme, granularity=PerRow()),
    )
    values = dequantize(Quantized(codes=codes.expand(rows.scale.numel(), -1), qparams=rows), dtype)
    return tuple(column.reshape(qparams.scale.shape) for column in values.unbind(-1))
