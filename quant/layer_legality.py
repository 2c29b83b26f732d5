"""Which layers have a meaning: what the schemes of two tensors and their product exclude, each with its sentence."""

from __future__ import annotations

from typing import TYPE_CHECKING

from quant import decisions as d
from quant.granularity import PerAxis, PerRow, PerTensor, PerToken, Stacked
from quant.legality import INPUT_DTYPES, INTEGER_DTYPES, names
from quant.mapping import Mapping, ZeroPointDomain
from quant.propagation import Propagation
from quant.statistic import Learned, Observed

if TYPE_CHECKING:
    from quant.scheme import QuantScheme


def check_quant_scheme(scheme: QuantScheme) -> None:
    """What the two tensors of a layer and their product exclude."""
    # torchao once returned an embedding's rows as integers (#2085): computed where lossy schemes are not refused.
    lossy = () if scheme.weight.rules.refuse_lossy else INTEGER_DTYPES
    if scheme.output_dtype != "model" and scheme.output_dtype not in INPUT_DTYPES + lossy:
        raise ValueError(f"output_dtype is {scheme.output_dtype!r}; use 'model' or one of {names(INPUT_DTYPES)}")
    if not isinstance(scheme.propagation, Propagation):
        raise ValueError(f"propagation is {scheme.propagation!r}; use {' or '.join(map(repr, Propagation))}")
    if isinstance(scheme.weight.statistic, Observed):
        raise ValueError(
            f"the weight's statistic is {scheme.weight.statistic}: a weight is at hand whenever it is quantized, so "
            "its range is its own or learned; use Own() or Learned()"
        )
    activation = scheme.activation
    if activation is not None and isinstance(activation.statistic, Learned):
        granularity = activation.granularity
        if not isinstance(granularity.inner if isinstance(granularity, Stacked) else granularity, PerTensor):
            raise ValueError(
                f"the activation's statistic is {activation.statistic} and its granularity is {granularity}: one scale "
                "is learned for inputs of any shape; use PerTensor()"
            )
    if scheme.product.product_operands is not d.ProductOperands.CODES:
        return
    if scheme.activation is None:
        raise ValueError(
            "product_operands is codes and the activation scheme is None: a product of codes needs codes on both "
            "sides; give an activation scheme, or use dequantized operands"
        )
    for side, tensor, legal in (
        ("weight", scheme.weight, (PerTensor, PerAxis, PerRow)),
        ("activation", scheme.activation, (PerTensor, PerToken, PerRow)),
    ):
        granularity = tensor.granularity.inner if isinstance(tensor.granularity, Stacked) else tensor.granularity
        if not isinstance(granularity, legal):
            raise ValueError(
                f"product_operands is codes and the {side}'s granularity is {granularity}: an integer sum over k has "
                f"one scale a row; use one of {', '.join(g.__name__ for g in legal)}"
            )
        if isinstance(granularity, PerAxis) and granularity.axis not in (0, -2):
            raise ValueError(
                f"product_operands is codes and the weight's granularity is {granularity}: scales along k do not leave "
                "the sum; use PerAxis(0), one scale an output channel"
            )
        if tensor.mapping is Mapping.STRETCHED:
            raise ValueError(
                f"product_operands is codes and the {side}'s mapping is stretched: its zero point -1/2 does not enter "
                "an integer sum; use dequantized operands, or another mapping"
            )
        if tensor.zero_point_domain is ZeroPointDomain.FLOAT:
            raise ValueError(
                f"product_operands is codes and the {side}'s zero_point_domain is float: a float zero point does not "
                "enter an integer sum; use the int or none domain"
            )
