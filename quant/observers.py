"""qparams = those of [low, high], a statistic of the ranges of all tensors that were observed."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from quant.computed import qparam_dtype_of
from quant.device import op
from quant.granularity import Stacked, groups_of
from quant.qparams import QParams, qparams_of_range, range_of
from quant.scheme import TensorScheme
from quant.statistic import First, MovingAverage


class Observer(nn.Module):
    """What a prepared layer has seen of its input: [low, high] under the scheme's statistic.

    Buffers: low and high, of shape [1] and of the dtype in which the rules compute ranges, NaN until something was
    observed; batches, how many tensors were.
    """

    low: Tensor
    high: Tensor
    batches: Tensor

    def __init__(self, scheme: TensorScheme, weight: Tensor) -> None:
        super().__init__()
        self.scheme = scheme
        self.reset(weight)

    def reset(self, weight: Tensor) -> None:
        """Forget what was observed; from now on inputs are of `weight`'s dtype and device."""
        dtype = qparam_dtype_of(self.scheme.resolved(weight.dtype), weight.dtype)
        count = len(weight) if isinstance(self.scheme.granularity, Stacked) else 1
        for name in ("low", "high"):
            self.register_buffer(name, torch.full((count,), torch.nan, dtype=dtype, device=weight.device))
        self.register_buffer("batches", torch.zeros((), dtype=torch.int64, device=weight.device))

    def observe(self, x: Tensor) -> None:
        """Take the range of x into the statistic; no gradient flows. Raises what choose_qparams raises."""
        resolved = self.scheme.resolved(x.dtype)
        self._check_dtype(qparam_dtype_of(resolved, x.dtype))
        low, high = (end.reshape(-1) for end in range_of(x, resolved))
        with torch.no_grad():
            is_first = self.batches == 0
            self.low = torch.where(is_first, low, self._merged(self.low, low, torch.minimum(self.low, low)))
            self.high = torch.where(is_first, high, self._merged(self.high, high, torch.maximum(self.high, high)))
            self.batches = self.batches + 1

    def qparams(self, x: Tensor) -> QParams:
        """Scale and zero point for x, which is not looked at beyond its shape and dtype.

        Raises ValueError when nothing was observed, or when the range was cast since.
        """
        resolved = self.scheme.resolved(x.dtype)
        self._check_dtype(qparam_dtype_of(resolved, x.dtype))
        if not torch.compiler.is_compiling() and not int(self.batches):
            raise ValueError(
                f"the activation's statistic is {self.scheme.statistic} and nothing was observed; between prepare and "
                "eval or convert, run batches in training mode or calibrate(model, batches)"
            )
        shape = groups_of(resolved.granularity, tuple(x.shape)).qparam_shape
        return qparams_of_range(self.low.reshape(shape), self.high.reshape(shape), resolved)

    def _merged(self, held: Tensor, seen: Tensor, wider: Tensor) -> Tensor:
        """One end of the range after another was seen; `wider` is the farther of both."""
        statistic, rules = self.scheme.statistic, self.scheme.rules
        if isinstance(statistic, First):
            return held
        if isinstance(statistic, MovingAverage):
            return op(held + op(op(seen - held, rules) * statistic.constant, rules), rules)
        return wider

    def _check_dtype(self, declared: torch.dtype) -> None:
        if self.low.dtype is not declared:
            raise ValueError(
                f"the observed range is {self.low.dtype} and the scheme computes ranges in {declared}: the model was "
                "cast after it was observed; calibrate it again"
            )

    def extra_repr(self) -> str:
        return f"statistic={self.scheme.statistic}"
