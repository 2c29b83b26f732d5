"""A converted layer's activation qparams: chosen in prepare, stored in buffers, the same for every input."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from quant.computed import qparam_dtype_of
from quant.granularity import Stacked, groups_of
from quant.qparams import QParams, reads_unrounded_scale
from quant.scheme import QuantScheme, TensorScheme
from quant.statistic import Own
from quant.stored import check_stored_dtype

FIELDS = ("scale", "zero_point", "unrounded_scale")


def has_frozen_activation(scheme: QuantScheme) -> bool:
    """Whether a converted layer stores its activation's qparams, rather than choosing them at each call."""
    return scheme.activation is not None and not isinstance(scheme.activation.statistic, Own)


def freeze(module: nn.Module, qparams: QParams) -> None:
    """Store the qparams in activation_* buffers of shape [1], one value for inputs of any shape."""
    for field in FIELDS:
        value: Tensor | None = getattr(qparams, field)
        if value is not None:
            module.register_buffer(f"activation_{field}", value.detach().reshape(-1))


def frozen(module: nn.Module, scheme: TensorScheme, x: Tensor) -> QParams:
    """What `freeze` stored, for x. Raises ValueError when a cast of the whole module has changed a buffer's dtype."""
    resolved = scheme.resolved(x.dtype)
    shape = groups_of(resolved.granularity, tuple(x.shape)).qparam_shape
    declared = (resolved.scale_dtype, resolved.zero_point_dtype, qparam_dtype_of(resolved, x.dtype))
    values: dict[str, Tensor | None] = {}
    for field, dtype in zip(FIELDS, declared, strict=True):
        value = module._buffers.get(f"activation_{field}")
        check_stored_dtype(f"activation_{field}", value, dtype)
        values[field] = None if value is None else value.reshape(shape)
    scale = values["scale"]
    assert scale is not None
    return QParams(
        scale=scale, zero_point=values["zero_point"], scheme=resolved, unrounded_scale=values["unrounded_scale"]
    )


def unloaded(scheme: TensorScheme, weight_shape: tuple[int, ...], dtype: torch.dtype) -> QParams:
    """Qparams of the right shapes and dtypes with a NaN scale, for a module that a state dict is loaded into."""
    resolved = scheme.resolved(dtype)
    shape = (weight_shape[0] if isinstance(scheme.granularity, Stacked) else 1,)
    computed, integer = qparam_dtype_of(resolved, dtype), resolved.zero_point_dtype
    return QParams(
        scale=torch.full(shape, torch.nan, dtype=resolved.scale_dtype),
        zero_point=None if integer is None else torch.zeros(shape, dtype=integer),
        scheme=resolved,
        unrounded_scale=torch.full(shape, torch.nan, dtype=computed) if reads_unrounded_scale(scheme.rules) else None,
    )
