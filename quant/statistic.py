"""Where a tensor's range comes from: itself, the tensors observed before it, or nowhere, its qparams being learned."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from quant import decisions as d
from quant.granularity import PerTensor, Stacked

if TYPE_CHECKING:
    from quant.scheme import TensorScheme


@dataclass(frozen=True, slots=True)
class Own:
    """The range of the tensor itself, anew at every call."""


@dataclass(frozen=True, slots=True)
class MinMax:
    """The least and the greatest of everything observed."""


@dataclass(frozen=True, slots=True)
class MovingAverage:
    """held + constant * (seen - held) for either end of the range; the first tensor observed is held as it is."""

    constant: float = 0.01

    def __post_init__(self) -> None:
        if not 0.0 < self.constant <= 1.0:
            raise ValueError(f"constant is {self.constant}; a moving average takes one above 0 and at most 1")


@dataclass(frozen=True, slots=True)
class First:
    """The range of the first tensor observed, whatever comes after it."""


@dataclass(frozen=True, slots=True)
class Learned:
    """Scale and zero point are Parameters: they start from an observed range, or a weight's own, and are trained."""


Observed = MinMax | MovingAverage | First
Statistic = Own | Observed | Learned


def check_statistic(scheme: TensorScheme) -> None:
    """Raise ValueError for a statistic that the scheme's granularity or its rules leave without a meaning."""
    statistic, rules = scheme.statistic, scheme.rules
    if not isinstance(statistic, Statistic):
        names = ", ".join(kind.__name__ for kind in (Own, MinMax, MovingAverage, First, Learned))
        raise ValueError(f"statistic is {statistic!r}; it must be a value of one of {names}")
    granularity = scheme.granularity.inner if isinstance(scheme.granularity, Stacked) else scheme.granularity
    if isinstance(statistic, Observed) and not isinstance(granularity, PerTensor):
        raise ValueError(
            f"statistic is {statistic} and granularity is {granularity}: what is observed over many tensors of any "
            "shape is one range; use PerTensor()"
        )
    if not isinstance(statistic, Own) and rules.float_code_origin is d.FloatCodeOrigin.MIN:
        raise ValueError(
            f"statistic is {statistic} and float_code_origin is min: what is stored of a range is a scale and a zero "
            "point, no minimum; use float_code_origin zero_point"
        )
    masks = (d.GradientMask.ROUNDED, d.GradientMask.UNROUNDED)
    if isinstance(statistic, Learned) and rules.gradient_mask not in masks:
        raise ValueError(
            f"statistic is {statistic} and gradient_mask is {rules.gradient_mask}: a scale learns from what is "
            "clipped; use gradient_mask rounded or unrounded"
        )
