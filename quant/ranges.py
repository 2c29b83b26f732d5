"""What a prepared layer keeps beside its Parameters: where the ranges of its weight and its input come from."""

from __future__ import annotations

from torch import Tensor

from quant.fake import Operand, fake_operand
from quant.learned import LearnedQParams
from quant.observers import Observer
from quant.scheme import QuantScheme, TensorScheme
from quant.statistic import Learned, Observed

Range = Observer | LearnedQParams | None  # None: each tensor's own range, of which nothing is kept


def weight_range(weight: Tensor, scheme: QuantScheme) -> LearnedQParams | None:
    """Learned qparams that start from the weight's own range, or None."""
    learns = isinstance(scheme.weight.statistic, Learned)
    return LearnedQParams.of_weight(scheme.weight, weight) if learns else None


def activation_range(weight: Tensor, scheme: QuantScheme) -> Range:
    """What observes or learns the range of the input of a layer with this weight, without a start yet; or None."""
    if scheme.activation is None:
        return None
    if isinstance(scheme.activation.statistic, Learned):
        return LearnedQParams.of_activation(scheme.activation, weight)
    return Observer(scheme.activation, weight) if isinstance(scheme.activation.statistic, Observed) else None


def ranged_operand(x: Tensor, scheme: TensorScheme, kept: Range) -> Operand:
    """x quantized in pretence by its own range, by the range observed, or by the qparams learned."""
    if isinstance(kept, LearnedQParams):
        return kept.operand(x)
    return fake_operand(x, scheme, None if kept is None else kept.qparams(x))
