"""What a prepared layer's gradient would have been under other decisions, from the operands that lane B computed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Final

import torch
from torch import Tensor

from parity.flips import Flip, Flips, rule_flip
from parity.gradients import drawn_gradient
from parity.pair import Case, Pair, Side
from parity.trace import Trace
from parity.transplant import operand_of
from quant import ProductRules, QuantScheme, Rules, TensorScheme
from quant.codes import code_values
from quant.embedding import lookup_stages
from quant.fake import Operand
from quant.gradient import pass_through, straight_through_mask
from quant.linear import layer_stages
from quant.relevance import relevant
from quant.rule_sets import RULE_SETS
from quant.rules import enumeration_of

FIELDS: Final = ("gradient_mask", "gradient_product", "float_gradient_product")
PRODUCT_FIELDS: Final = ("operand_precision", "accumulate")  # those that a gradient's product shares with its layer's
OPERAND_OF: Final = {"grad.input": "input", "grad.weight": "weight"}


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class GradientCandidates:
    """One gradient, of the input or of the weight; one case at a time, for it is a product.

    base is lane B's scheme with A's decisions on gradients and products. What B inherited from its forward pass is no
    cause: the product and the mask are made from B's own operands.
    """

    stages: tuple[str, ...]
    wanted: Mapping[str, Tensor]
    side: Side
    base: QuantScheme
    joint: Sequence[Flips]

    @classmethod
    def of(cls, pair: Pair, stage: str) -> GradientCandidates:
        """Candidates for lane B's gradient, starting from A's rules."""
        own, other = (_tensor(side.scheme, stage) for side in (pair.a, pair.b))
        joint: list[Flips] = []
        if own is not None and other is not None:
            products = [(pair.b.scheme.product, other.rules), *((pair.a.scheme.product, r) for r in RULE_SETS.values())]
            joint = [
                _differences(own.rules, rules, FIELDS) + _differences(pair.a.scheme.product, product, PRODUCT_FIELDS)
                for product, rules in products
            ]
        return cls(
            stages=(stage,),
            wanted={stage: pair.b.stacked(stage)},
            side=pair.b,
            base=_inheriting(pair.a.scheme, pair.b.scheme),
            joint=tuple(flips for flips in dict.fromkeys(joint) if flips),
        )

    def made(self, flips: Flips, until: str, case: int | None = None) -> Mapping[str, Tensor]:
        tensor = _tensor(self.base, until)
        changes = {name: value for flip in flips for name, value in flip.changes}
        of_product = {name: changes.pop(name) for name in PRODUCT_FIELDS if name in changes}
        scheme = replace(self.base, product=replace(self.base.product, **of_product))
        if tensor is not None:
            tensor = replace(tensor, rules=replace(tensor.rules, **changes))
        chosen = range(len(self.side.cases)) if case is None else (case,)
        made = [_gradient(self.side.cases[i], self.side.traces[i], scheme, tensor, until) for i in chosen]
        return {until: torch.stack(made)}

    def single(self, after: Flips, until: str) -> Iterator[Flip]:
        for field in PRODUCT_FIELDS:
            for member in enumeration_of(ProductRules, field):
                if member != getattr(self.base.product, field):
                    yield rule_flip(field, member)
        tensor = _tensor(self.base, until)
        if tensor is None:
            return
        acting = relevant(tensor, self.side.cases[0].weight.dtype)
        for field in FIELDS:
            for member in enumeration_of(Rules, field):
                if field in acting and member != getattr(tensor.rules, field):
                    yield rule_flip(field, member)

    def value(self, field: str) -> str:
        if field in PRODUCT_FIELDS:
            return str(getattr(self.base.product, field))
        tensor = _tensor(self.base, self.stages[0])
        return "" if tensor is None else str(getattr(tensor.rules, field))


def _inheriting(own: QuantScheme, other: QuantScheme) -> QuantScheme:
    """`other` with the gradient's decisions and the product of `own`; `own` where its decisions exclude the others."""
    if own.activation is None or other.activation is None:
        activation = own.activation
    else:
        activation = _with_gradient_of(own.activation, other.activation)
    return replace(own, weight=_with_gradient_of(own.weight, other.weight), activation=activation)


def _with_gradient_of(own: TensorScheme, other: TensorScheme) -> TensorScheme:
    with suppress(ValueError):
        return replace(other, rules=replace(other.rules, **{field: getattr(own.rules, field) for field in FIELDS}))
    return own


def _tensor(scheme: QuantScheme, stage: str) -> TensorScheme | None:
    return scheme.weight if OPERAND_OF[stage] == "weight" else scheme.activation


def _differences(rules: Rules | ProductRules, other: Rules | ProductRules, fields: Sequence[str]) -> Flips:
    values = ((field, getattr(other, field)) for field in fields)
    return tuple(rule_flip(field, value) for field, value in values if value != getattr(rules, field))


def _gradient(case: Case, trace: Trace, scheme: QuantScheme, tensor: TensorScheme | None, stage: str) -> Tensor:
    """grad.input or grad.weight of a layer whose operands are those of the trace, `tensor` saying what passes."""
    grad, operand = gradient_read_back(case, trace, scheme, stage)
    if operand is None or tensor is None:
        return grad
    source = case.weight.cpu() if stage == "grad.weight" else case.x.cpu()
    qparams = replace(operand.qparams, scheme=tensor.resolved(source.dtype))
    unclamped, _ = code_values(source, qparams)
    mask = straight_through_mask(source, unclamped, qparams)
    return pass_through(grad, mask, qparams, source.dtype)


def gradient_read_back(case: Case, trace: Trace, scheme: QuantScheme, stage: str) -> tuple[Tensor, Operand | None]:
    """(the gradient of the values read back, of which the straight-through estimator passes some on; their operand)."""
    weight = _leaf(operand_of(trace, "weight", scheme.weight, case.weight.dtype))
    x, given = case.x.cpu(), None
    with torch.enable_grad():
        if not x.is_floating_point():
            output = lookup_stages(x, weight, scheme, case.weight.dtype, None).output
        else:
            if scheme.activation is not None:
                given = _leaf(operand_of(trace, "input", scheme.activation, x.dtype))
            else:
                x = x.detach().requires_grad_()
            bias = None if case.bias is None else case.bias.cpu()
            output = layer_stages(x, given, weight, bias, scheme, case.weight.dtype).output
        operand = weight if stage == "grad.weight" else given
        leaf = x if operand is None else operand.dequantized
        (grad,) = torch.autograd.grad(output, leaf, drawn_gradient(output))
    return grad, operand


def _leaf(operand: Operand) -> Operand:
    """The operand, its dequantized values a leaf that receives a gradient."""
    return replace(operand, dequantized=operand.dequantized.detach().clone().requires_grad_())
