"""What an operation of quantized tensors would have given under another contract, or another scheme of its weight."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

import torch
from torch import Tensor

from parity.candidates import product_differences, product_flipped, product_flips
from parity.flips import Flip, Flips, differences, field_text, flipped, flips_of, forward_only
from parity.operated import Operated
from parity.pair import Case, Pair
from quant import ProductRules, QuantScheme
from quant.quantized_tensor import CONTRACTS, Contract
from quant.rules import enumeration_of
from quant.scheme import ResolvedScheme

PREFIX: Final = "contract."
STEPS: Final = ("scale", "zero_point", "codes", "dequantized")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class OperationCandidates:
    """Every stage of an operation, one case at a time; base is what lane A declares.

    The weight's scheme, the product and the contract are flipped: the scheme of another input acts in its own stages.
    """

    stages: tuple[str, ...]
    wanted: Mapping[str, Tensor]
    cases: Sequence[Case]
    operated: Operated
    scheme: QuantScheme
    joint: Sequence[Flips]

    @classmethod
    def of(cls, pair: Pair) -> OperationCandidates:
        """Candidates for lane B's stages, starting from what A declares."""
        operated = pair.a.operated
        assert operated is not None
        others = (*CONTRACTS.values(), *([] if pair.b.operated is None else [pair.b.operated.contract]))
        joint = [contract_flips(operated.contract, other) for other in others]
        joint.append((*_scheme_flips(pair), *joint[-1]))
        return cls(
            stages=pair.stages,
            wanted={stage: pair.b.stacked(stage) for stage in pair.stages},
            cases=pair.cases,
            operated=operated,
            scheme=pair.a.scheme,
            joint=tuple(flips for flips in dict.fromkeys(joint) if flips),
        )

    def made(self, flips: Flips, until: str, case: int | None = None) -> Mapping[str, Tensor]:
        decisions = {name: value for flip in flips if _of_contract(flip) for name, value in flip.changes}
        contract = replace(self.operated.contract, **decisions)
        weight = flipped(self._weight, [flip for flip in flips if _of_weight(flip)])
        product = tuple(flip for flip in flips if not _of_contract(flip) and not _of_weight(flip))
        scheme = replace(product_flipped(self.scheme, product), weight=weight)
        chosen = self.cases if case is None else self.cases[case : case + 1]
        traces = [self.operated.run(each.weight, each.x, scheme, contract) for each in chosen]
        return {name: torch.stack([trace[name].tensor for trace in traces]) for name in traces[0].names}

    def single(self, after: Flips, until: str) -> Iterator[Flip]:
        yield from _single(self.operated.contract)
        yield from product_flips(self.scheme.product)
        weight = self.cases[0].weight
        scheme = flipped(self._weight, [flip for flip in after if _of_weight(flip)])
        step = until.partition(".")[2] if until.startswith("weight.") else STEPS[-1]
        yield from flips_of(scheme, weight.dtype, tuple(weight.shape), step)

    def value(self, field: str) -> str:
        if field.startswith(PREFIX):
            return str(getattr(self.operated.contract, field.removeprefix(PREFIX)))
        product = field in ProductRules.decisions()
        return str(getattr(self.scheme.product, field)) if product else field_text(self._weight, field)

    @property
    def _weight(self) -> ResolvedScheme:
        return _resolved(self.scheme, self.cases[0])


def _resolved(scheme: QuantScheme, case: Case) -> ResolvedScheme:
    return forward_only(scheme.weight.resolved(case.weight.dtype))


def _scheme_flips(pair: Pair) -> Flips:
    """What makes the weight's scheme and the product of lane A those of lane B."""
    case, a, b = pair.cases[0], pair.a.scheme, pair.b.scheme
    return (*differences(_resolved(a, case), _resolved(b, case)), *product_differences(a, b, case.weight.dtype))


def contract_flips(contract: Contract, other: Contract) -> Flips:
    """The flips that make one contract the other, but for its name."""
    values = ((name, getattr(other, name)) for name in Contract.decisions())
    return tuple(_flip(name, value) for name, value in values if value is not getattr(contract, name))


def _single(contract: Contract) -> Iterator[Flip]:
    for name in Contract.decisions():
        for member in enumeration_of(Contract, name):
            if member is not getattr(contract, name):
                yield _flip(name, member)


def _flip(name: str, value: str) -> Flip:
    return Flip(PREFIX + name, str(value), ((name, value),))


def _of_contract(flip: Flip) -> bool:
    return flip.field.startswith(PREFIX)


def _of_weight(flip: Flip) -> bool:
    return not _of_contract(flip) and flip.field not in (*ProductRules.decisions(), "scheme.output_dtype")
