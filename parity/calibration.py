"""What calibrates a lane's static activation: its own input, cut in two, so that min-max finds the input's range."""

from __future__ import annotations

from torch import Tensor

from quant import QuantScheme
from quant.frozen import has_frozen_activation
from quant.observers import Observer
from quant.qparams import QParams


def calibration_batches(x: Tensor, scheme: QuantScheme, *, stacked: bool = False) -> list[Tensor]:
    """The rows of x in two halves (one batch if x is one row); none where the scheme observes nothing.

    x: [..., K], or [S, ..., K] of stacked cases, whose batches are [S, rows, K].
    """
    if not has_frozen_activation(scheme) or not x.is_floating_point():
        return []
    rows = x.reshape(*x.shape[: int(stacked)], -1, x.shape[-1])
    return list(rows.chunk(2, dim=-2))


def observed_qparams(weight: Tensor, x: Tensor, scheme: QuantScheme) -> QParams | None:
    """What PTQ of stacked layers [S, N, K] freezes after the calibration batches of x; None = nothing."""
    if scheme.activation is None or not has_frozen_activation(scheme):
        return None
    observer = Observer(scheme.activation, weight)
    for batch in calibration_batches(x, scheme, stacked=True):
        observer.observe(batch)
    return observer.qparams(weight)
