"""stand_alone(pair, ...) = a script of torch alone that shows the first element in which two lanes part.

The operands of that element are hexadecimal floats, and each lane's arithmetic is written out under its scheme. It is
given only where both halves, run here, give the bits that the lanes gave.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import torch
from torch import Tensor

from parity.diff import diff_stage
from parity.explanation import Cause
from parity.flips import field_text, forward_only
from parity.formats import hexadecimal
from parity.gradient_candidates import OPERAND_OF, gradient_read_back
from parity.pair import Pair, Side
from parity.product_lines import product_lines
from parity.torch_lines import OPERANDS, lines
from quant.scheme import ResolvedScheme

_SCRIPT: Final = """\
# {stage}{at} of {a} and {b}: {causes}.
import torch

{operands}

# {a}
{first}
a = result

# {b}
{second}
b = result

for lane, value in (("{a}", a), ("{b}", b)):
    print(lane, float(value).hex(), value.dtype)
"""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Shown:
    """The operands of one element, and the statements of both lanes that make it of them."""

    given: Mapping[str, Tensor]
    halves: tuple[Sequence[str], Sequence[str]]


def stand_alone(pair: Pair, stage: str, causes: Sequence[Cause]) -> str | None:
    """The script for the first element of `stage` that differs in the pair's first case.

    None where a value of the scheme is not as it is declared, and where the lines do not give both lanes' bits: then
    there is more to a lane's arithmetic at this stage.
    """
    tensors = [side.traces[0][stage].tensor.detach().cpu() for side in (pair.a, pair.b)]
    at = _first_different(stage, *tensors)
    if at is None:
        return None
    try:
        shown = (_of_output if stage == "output" else _of_operand)(pair, stage, causes, at)
    except ValueError:
        return None
    if shown is None:
        return None
    for tensor, half in zip(tensors, shown.halves, strict=True):
        if not diff_stage(stage, _run(half, shown.given).reshape(1), tensor[at].reshape(1)).identical:
            return None
    return _SCRIPT.format(
        stage=stage,
        at=list(at),
        a=pair.a.lane,
        b=pair.b.lane,
        causes=" and ".join(map(str, causes)),
        operands="\n".join(f"{name} = {_text(value)}" for name, value in shown.given.items()),
        first="\n".join(shown.halves[0]),
        second="\n".join(shown.halves[1]),
    )


def _of_operand(pair: Pair, stage: str, causes: Sequence[Cause], at: tuple[int, ...]) -> _Shown | None:
    """A stage of one operand, or what of the gradient of its values reaches it."""
    operand, suffix = (OPERAND_OF[stage], "grad") if stage in OPERAND_OF else stage.split(".")
    if suffix not in OPERANDS:
        return None
    case = pair.a.cases[0]
    x = (case.weight if operand == "weight" else case.x).cpu()
    schemes = _schemes(pair, operand, causes, x.dtype, forward=suffix != "grad")
    given = None if schemes is None else _given(pair.a, operand, suffix, at, x, schemes[0])
    if schemes is None or given is None:
        return None
    if suffix == "grad":
        read_back, _ = gradient_read_back(case, pair.a.traces[0], pair.a.scheme, stage)
        given["grad"] = read_back[at].reshape(1)
    a, b = (lines(suffix, scheme, x.dtype) for scheme in schemes)
    return _Shown(given=given, halves=(a, b))


def _of_output(pair: Pair, stage: str, causes: Sequence[Cause], at: tuple[int, ...]) -> _Shown | None:
    """One element of a linear layer's product, of the rows that both lanes have read back."""
    case, trace = pair.a.cases[0], pair.a.traces[0]
    if not case.x.is_floating_point():
        return None
    read_back = trace.find("input.dequantized")
    rows = (case.x if read_back is None else read_back.tensor).cpu()
    given = {"x": rows[at[:-1]], "w": trace["weight.dequantized"].tensor.detach().cpu()[at[-1]]}
    if case.bias is not None:
        given["bias"] = case.bias.cpu()[at[-1]].reshape(1)
    rules = pair.a.scheme.product
    decisions = [cause for cause in causes if cause.field in rules.decisions()]
    dtypes = [trace[stage].tensor.dtype, pair.b.traces[0][stage].tensor.dtype]
    values = [{field: a for field, a, _ in decisions}, {field: b for field, _, b in decisions}]
    a, b = (
        product_lines(rules.with_values(**own), dtype, bias=case.bias is not None)
        for own, dtype in zip(values, dtypes, strict=True)
    )
    return _Shown(given=given, halves=(a, b))


def _first_different(stage: str, a: Tensor, b: Tensor) -> tuple[int, ...] | None:
    """Of stages in two dtypes the first element whose values differ, or the first of all where none do."""
    if a.shape != b.shape:
        return None
    first = diff_stage(stage, a, b).first
    if first is not None:
        return tuple(first.index)
    place = int((a.double() != b.double()).reshape(-1).int().argmax())
    return tuple(int(i) for i in torch.unravel_index(torch.tensor(place), a.shape))


def _schemes(
    pair: Pair, operand: str, causes: Sequence[Cause], dtype: torch.dtype, *, forward: bool
) -> tuple[ResolvedScheme, ResolvedScheme] | None:
    """What each lane carries out: A's declared scheme with its own values of the causes, and with B's.

    `forward` leaves the gradient's decisions out, which exclude some of the others.
    """
    declared = [side.scheme.activation if operand == "input" else side.scheme.weight for side in (pair.a, pair.b)]
    if declared[0] is None or declared[1] is None:
        return None
    own = (scheme.resolved(dtype) for scheme in declared if scheme is not None)
    a, b = (forward_only(scheme) if forward else scheme for scheme in own)
    try:
        return _with(a, a, [(field, value) for field, value, _ in causes]), _with(
            a, b, [(field, value) for field, _, value in causes]
        )
    except ValueError:
        return None


def _with(base: ResolvedScheme, own: ResolvedScheme, told: Sequence[tuple[str, str]]) -> ResolvedScheme:
    """base with these values, those of the scheme taken from `own`. Raises ValueError where that has others."""
    rules: dict[str, str] = {}
    values: dict[str, Any] = {}
    for field, value in told:
        name = field.removeprefix("scheme.")
        if field in base.rules.decisions():
            rules[field] = value
        elif hasattr(base, name) and name != field:
            if field_text(own, field) != value:
                raise ValueError(f"{field} is {value} in what a lane does and {field_text(own, field)} as declared")
            values[name] = getattr(own, name)
    return replace(base, rules=base.rules.with_values(**rules), **values)


def _given(
    side: Side, operand: str, suffix: str, at: tuple[int, ...], x: Tensor, scheme: ResolvedScheme
) -> dict[str, Tensor] | None:
    """The operands of one element, each [1], or the ends of one scale's range; None for a shape without such groups."""
    try:
        block = scheme.granularity.block_shape(tuple(x.shape))
    except ValueError:
        return None
    counts = [size // step for size, step in zip(x.shape, block, strict=True)]
    group = tuple(i // step for i, step in zip(at, block, strict=False))
    of_range = suffix in ("scale", "zero_point")
    if of_range:
        place = torch.zeros(side.traces[0][f"{operand}.{suffix}"].tensor.shape, dtype=torch.bool)
        place[at] = True
        group = tuple(place.reshape(counts).nonzero()[0].tolist())
    found: dict[str, Tensor] = {}
    for name in OPERANDS[suffix]:
        if name == "x":
            chosen = tuple(slice(i * step, (i + 1) * step) for i, step in zip(group, block, strict=True))
            found["x"] = torch.stack([x[chosen].amin(), x[chosen].amax()]) if of_range else x[at].reshape(1)
            continue
        stage = side.traces[0].find(f"{operand}.{name}")
        if stage is not None:
            held = stage.tensor.detach().cpu()
            found[name] = (held[at] if name == "codes" else held.reshape(counts)[group]).reshape(1)
    return found


def _run(half: Sequence[str], given: Mapping[str, Tensor]) -> Tensor:
    names: dict[str, Any] = {"torch": torch, **given}
    exec("\n".join(half), names)  # lines that parity.torch_lines wrote, and no input
    result: Tensor = names["result"]
    return result


def _text(value: Tensor) -> str:
    """`torch.tensor([float.fromhex("0x1.4p+1")], dtype=torch.bfloat16)`; integers as they are."""
    if not value.dtype.is_floating_point:
        return f"torch.tensor({value.tolist()}, dtype={value.dtype})"
    numbers = [f'float.fromhex("{hexadecimal(number)}")' for number in value.double().tolist()]
    separator = ", " if len(numbers) <= 2 else ",\n    "
    return f"torch.tensor([{separator.join(numbers)}], dtype=torch.float64).to({value.dtype})"
