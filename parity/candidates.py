"""What a lane would have computed had it carried out another scheme: the stages of one operand, or of the product."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any, Final, Protocol

import torch
from torch import Tensor

from parity.block_spread import in_blocks
from parity.diff import diff_stage, equal_cases
from parity.flips import Flip, Flips, differences, field_text, flipped, flips_of, forward_only, rule_flip, value_text
from parity.lanes import Flow
from parity.pair import Pair, Side
from parity.transplant import layer_output, operand_stages
from quant import ProductRules, QuantScheme, TensorScheme, rules_named
from quant.granularity import groups_of
from quant.integers import cast_to_integer
from quant.legality import INPUT_DTYPES, INTEGER_DTYPES
from quant.rule_sets import RULE_SETS
from quant.rules import enumeration_of
from quant.scheme import ResolvedScheme

Stages = Mapping[str, Tensor]
_DEVICE: Final = "device"


class Candidates(Protocol):
    """The schemes near a base, and what they give; `wanted` is what lane B gave at each of `stages`, [cases, ...]."""

    @property
    def stages(self) -> tuple[str, ...]: ...
    @property
    def wanted(self) -> Stages: ...
    @property
    def joint(self) -> Sequence[Flips]: ...
    def made(self, flips: Flips, until: str, case: int | None = None) -> Stages:
        """The stages up to `until`, of one case as a stack of one, or of all. Raises ValueError for no scheme."""
        ...

    def single(self, after: Flips, until: str) -> Iterator[Flip]:
        """Every flip that can move a bit at `until` or before, of the base with the flips before it."""
        ...

    def value(self, field: str) -> str:
        """What the base has for a field."""
        ...


def reproduces(candidates: Candidates, flips: Flips, until: str, case: int | None = None) -> bool:
    """Whether every stage up to `until` has lane B's bits, in one case or in all."""
    try:
        made = candidates.made(flips, until, case)
    except ValueError:
        return False
    for stage in candidates.stages[: candidates.stages.index(until) + 1]:
        wanted = _of_case(candidates.wanted[stage], case)
        if stage not in made or made[stage].shape != wanted.shape:
            return False
        if not bool(equal_cases(stage, made[stage], wanted).all()):
            return False
    return True


def remaining(candidates: Candidates, flips: Flips, stage: str, case: int | None = None) -> int | None:
    """How many elements of a stage differ from lane B's; None where the flips make no scheme."""
    try:
        made = candidates.made(flips, stage, case).get(stage)
    except ValueError:
        return None
    return diff_stage(stage, made, _of_case(candidates.wanted[stage], case)).n_different


def moves(candidates: Candidates, flips: Flips, flip: Flip, stage: str, case: int) -> bool:
    """Whether one flip more changes any element of a stage: it may heal as many as it breaks."""
    one, other = (candidates.made(each, stage, case).get(stage) for each in (flips, (*flips, flip)))
    return one is not other and diff_stage(stage, one, other).n_different > 0


def _of_case(stack: Tensor, case: int | None) -> Tensor:
    return stack if case is None else stack[case : case + 1]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class OperandCandidates:
    """The stages of the weight or the input, made from lane A's tensors: all cases at once, for nothing here is summed.

    base is lane A's scheme, resolved and stacked; joint are the differences of the scheme that B declares and of the
    named sets.
    """

    stages: tuple[str, ...]
    wanted: Stages
    x: Tensor
    base: ResolvedScheme
    fake: bool
    joint: Sequence[Flips]

    @classmethod
    def of(cls, pair: Pair, operand: str, flow: Flow) -> OperandCandidates:
        """Candidates for lane B's stages of an operand, starting from A's scheme in a flow."""
        x = torch.stack([(case.weight if operand == "weight" else case.x).cpu() for case in pair.b.cases])
        scheme, declared = (_resolved(side.scheme, operand, x.dtype) for side in (pair.a, pair.b))
        joint = [differences(scheme, other) for other in (declared, *_under_named_sets(scheme))]
        stages = pair.operand_stages(operand)
        return cls(
            stages=stages,
            wanted={stage: pair.b.stacked(stage) for stage in stages},
            x=x,
            base=scheme,
            fake=flow is Flow.QAT_PREPARE,
            joint=tuple(flips for flips in dict.fromkeys(joint) if flips),
        )

    def made(self, flips: Flips, until: str, case: int | None = None) -> Stages:
        scheme = flipped(self.base, flips)
        operand, _, last = until.partition(".")
        x = _of_case(self.x, case)
        stages = operand_stages(x, scheme, fake=self.fake, until=last)
        if any(flip.field == "scheme.granularity" for flip in flips):
            stages |= {name: self._as_kept(f"{operand}.{name}", value, scheme, x) for name, value in stages.items()}
        return {f"{operand}.{name}": value for name, value in stages.items()}

    def _as_kept(self, stage: str, value: Tensor, scheme: ResolvedScheme, x: Tensor) -> Tensor:
        """A qparam in lane B's shape, where that has one entry a block of the base's own granularity."""
        kept = groups_of(self.base.granularity, tuple(x.shape)).qparam_shape
        wanted = self.wanted[stage].shape if stage in self.wanted else value.shape
        if value.shape[1:] == wanted[1:] or wanted[1:] != kept[1:] or not stage.endswith((".scale", ".zero_point")):
            return value
        return in_blocks(value, scheme.granularity, self.base.granularity, tuple(x.shape))

    def single(self, after: Flips, until: str) -> Iterator[Flip]:
        operand, _, last = until.partition(".")
        scale = self.wanted.get(f"{operand}.scale")
        smallest = None if scale is None else scale.double().nan_to_num().amin().item()
        yield from flips_of(flipped(self.base, after), self.x.dtype, tuple(self.x.shape), last, smallest)

    def value(self, field: str) -> str:
        return field_text(self.base, field)


def _under_named_sets(scheme: ResolvedScheme) -> Iterator[ResolvedScheme]:
    """The scheme under each named set that does not exclude it; as a base, none refuses what is lossy."""
    for rules in RULE_SETS.values():
        with suppress(ValueError):
            yield forward_only(replace(scheme, rules=replace(rules, refuse_lossy=False)))


def _resolved(scheme: QuantScheme, operand: str, dtype: torch.dtype) -> ResolvedScheme:
    tensor: TensorScheme | None = scheme.weight if operand == "weight" else scheme.activation
    assert tensor is not None
    return forward_only(tensor.stacked().resolved(dtype))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ProductCandidates:
    """The output, made from lane B's own operands, so that what it inherited is no cause; one case at a time, because
    a native product depends on shape and strides, and on lane A's device, whose library sums it in an order of its own.
    """

    wanted: Stages
    side: Side
    device: str
    base: QuantScheme
    joint: Sequence[Flips]
    stages: tuple[str, ...] = ("output",)

    @classmethod
    def of(cls, pair: Pair) -> ProductCandidates:
        """Candidates for lane B's output, starting from A's product rules."""
        base = pair.a.scheme
        others = (pair.b.scheme, *(replace(base, product=rules_named(name)[1]) for name in RULE_SETS))
        joint = [product_differences(base, other, pair.cases[0].weight.dtype) for other in others]
        devices = (pair.a.lane.device, pair.b.lane.device)
        if devices[0] != devices[1]:
            joint.insert(0, (_device_flip(devices[1]),))
        return cls(
            wanted={"output": pair.b.stacked("output")},
            side=pair.b,
            device=devices[0],
            base=base,
            joint=tuple(flips for flips in dict.fromkeys(joint) if flips),
        )

    def made(self, flips: Flips, until: str, case: int | None = None) -> Stages:
        # No scheme has an integer output, yet a lane may cast to one: what it casts is the output of the model's dtype.
        cast = next((dtype for _, dtype in _changes(flips) if dtype in INTEGER_DTYPES), None)
        device = dict(_changes(flips)).get(_DEVICE, self.device)
        scheme = product_flipped(self.base, flips)
        cases, traces = self.side.cases, self.side.traces
        chosen = range(len(cases)) if case is None else (case,)
        outputs = torch.stack([layer_output(cases[i], traces[i], scheme, device) for i in chosen])
        return {until: outputs if cast is None else cast_to_integer(outputs, cast)}

    def single(self, after: Flips, until: str) -> Iterator[Flip]:
        if self.side.lane.device != self.device:
            yield _device_flip(self.side.lane.device)
        yield from product_flips(self.base.product)
        own = self.base.resolved_output_dtype(self.side.cases[0].weight.dtype)
        yield from (_output_flip(dtype) for dtype in INPUT_DTYPES if dtype is not own)
        if self.wanted["output"].dtype in INTEGER_DTYPES:
            yield _output_flip(self.wanted["output"].dtype)

    def value(self, field: str) -> str:
        if field == "scheme.output_dtype":
            return value_text(self.base.resolved_output_dtype(self.side.cases[0].weight.dtype))
        return self.device if field == _DEVICE else str(getattr(self.base.product, field))


def product_flips(product: ProductRules) -> Iterator[Flip]:
    """Every decision of a product at each of its other values."""
    for field in ProductRules.decisions():
        for member in enumeration_of(ProductRules, field):
            if member != getattr(product, field):
                yield rule_flip(field, member)


def product_flipped(scheme: QuantScheme, flips: Flips) -> QuantScheme:
    """The scheme with these changes of its product and of its output, if that stays a float. Raises ValueError."""
    changes = dict(_changes(flips))
    product = {name: value for name, value in changes.items() if name in ProductRules.decisions()}
    output = changes.get("output_dtype", scheme.output_dtype)
    kept = scheme.output_dtype if output in INTEGER_DTYPES else output
    return replace(scheme, product=replace(scheme.product, **product), output_dtype=kept)


def _changes(flips: Flips) -> Iterator[tuple[str, Any]]:
    for flip in flips:
        yield from flip.changes


def _device_flip(device: str) -> Flip:
    return Flip(_DEVICE, device, ((_DEVICE, device),))


def _output_flip(dtype: torch.dtype) -> Flip:
    return Flip("scheme.output_dtype", value_text(dtype), (("output_dtype", dtype),))


def product_differences(scheme: QuantScheme, other: QuantScheme, dtype: torch.dtype) -> Flips:
    values = [(name, getattr(other.product, name)) for name in ProductRules.decisions()]
    found = [rule_flip(name, value) for name, value in values if value != getattr(scheme.product, name)]
    wanted = other.resolved_output_dtype(dtype)
    if wanted is not scheme.resolved_output_dtype(dtype):
        found.append(_output_flip(wanted))
    return tuple(found)
