"""What calibrates a lane's static activation: its own input, cut in two, so that min-max finds the input's range."""

from __future__ import annotations

from torch import Tensor

from parity.training import train
from quant import QuantScheme, calibrate
from quant.embedding import FakeQuantizedEmbedding
from quant.frozen import has_frozen_activation
from quant.learned import LearnedQParams
from quant.linear import FakeQuantizedLinear
from quant.observers import Observer
from quant.qparams import QParams

Prepared = FakeQuantizedLinear | FakeQuantizedEmbedding


def calibration_batches(x: Tensor, scheme: QuantScheme, *, stacked: bool = False) -> list[Tensor]:
    """The rows of x in two halves (one batch if x is one row); none where the scheme observes nothing.

    x: [..., K], or [S, ..., K] of stacked cases, whose batches are [S, rows, K].
    """
    if not has_frozen_activation(scheme) or not x.is_floating_point():
        return []
    rows = x.reshape(*x.shape[: int(stacked)], -1, x.shape[-1])
    return list(rows.chunk(2, dim=-2))


def trained_and_calibrated(prepared: Prepared, x: Tensor, steps: int) -> Prepared:
    """The layer after its steps. What is learned starts before them; what is observed is observed after them."""
    batches = calibration_batches(x, prepared.scheme)
    learns = isinstance(prepared, FakeQuantizedLinear) and isinstance(prepared.activation_range, LearnedQParams)
    if batches and learns:
        calibrate(prepared, batches)
    train(prepared, x, steps)
    if batches and not learns:
        calibrate(prepared, batches)
    return prepared


def learned_qparams(prepared: Prepared) -> QParams | None:
    """What the activation of a trained layer has learned, which PTQ of its weight is handed; None = nothing."""
    if isinstance(prepared, FakeQuantizedLinear) and isinstance(prepared.activation_range, LearnedQParams):
        return prepared.activation_range.qparams(prepared.weight.detach())
    return None


def observed_qparams(weight: Tensor, x: Tensor, scheme: QuantScheme) -> QParams | None:
    """What PTQ of stacked layers [S, N, K] freezes after the calibration batches of x; None = nothing."""
    observer = _observer(weight, x, scheme)
    return None if observer is None else observer.qparams(weight)


def start_range(prepared: FakeQuantizedLinear, x: Tensor) -> None:
    """calibrate() for stacked layers, whose inputs no forward pass of a float layer takes."""
    observer = _observer(prepared.weight, x, prepared.scheme)
    if isinstance(prepared.activation_range, LearnedQParams) and observer is not None:
        prepared.activation_range.start(observer.low, observer.high, x.dtype)
    else:
        prepared.activation_range = observer


def _observer(weight: Tensor, x: Tensor, scheme: QuantScheme) -> Observer | None:
    """What has observed the calibration batches of x [S, ..., K]."""
    if scheme.activation is None or not has_frozen_activation(scheme):
        return None
    observer = Observer(scheme.activation, weight)
    for batch in calibration_batches(x, scheme, stacked=True):
        observer.observe(batch)
    return observer
