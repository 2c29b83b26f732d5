"""Why a value was found and no other: an element on which the box answers as that value does, and not as another."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from torch import Tensor

from parity.bits import bits, dtype_name
from parity.black_box.acting import searched
from parity.black_box.question import Answer, Question, Step, Untellable
from quant import Rules


@dataclass(frozen=True, slots=True, kw_only=True)
class Witness:
    """`refuted` is the value that another answer than the box's would show; numbers are hexadecimal floats."""

    refuted: str
    asked: str
    answered: str
    otherwise: str

    def __str__(self) -> str:
        return f"{self.asked} gives {self.answered}, with {self.refuted} {self.otherwise}"


def witness(field: str, other: StrEnum, rules: Rules, asked: Iterable[tuple[Question, Answer]]) -> Witness | None:
    """The first question that `rules` answer as the box did, and with `other` in their place do not.

    None where no question does: the value was refuted together with another field's alone.
    """
    try:
        changed = rules.with_values(**{field: other})
    except ValueError:  # it excludes another decision
        return None
    for question, answer in asked:
        if field not in searched(question):
            continue
        would = _made(question, changed)
        if would is None or would.digest == answer.digest:
            continue
        own = _made(question, rules)
        if own is not None and own.digest == answer.digest:
            return _told(question, answer, would, str(other))
    return None


def _made(question: Question, rules: Rules) -> Answer | None:
    try:
        return question.made(rules)
    except (ValueError, Untellable):
        return None


def _told(question: Question, answer: Answer, would: Answer, refuted: str) -> Witness:
    if not (answer.tensors and would.tensors):
        answered, otherwise = (_form(each) for each in (answer, would))
        return Witness(refuted=refuted, asked=_call(question, 0, 3), answered=answered, otherwise=otherwise)
    which = next(i for i, (a, b) in enumerate(zip(answer.tensors, would.tensors, strict=True)) if not _same(a, b))
    a, b = answer.tensors[which], would.tensors[which]
    name = ("scale ", "zero point ")[which] if question.step is Step.CHOOSE else ""
    if a.dtype is not b.dtype or a.shape != b.shape:
        answered, otherwise = name + _form(answer), _form(would)
        return Witness(refuted=refuted, asked=_call(question, 0, 0), answered=answered, otherwise=otherwise)
    row, column = (int(i) for i in (bits(a) != bits(b)).nonzero()[0])
    return Witness(
        refuted=refuted,
        asked=_call(question, row, column),
        answered=name + number(a[row, column]),
        otherwise=number(b[row, column]),
    )


def _same(a: Tensor, b: Tensor) -> bool:
    return a.dtype is b.dtype and a.shape == b.shape and bool((bits(a) == bits(b)).all())


def _form(answer: Answer) -> str:
    return " and ".join(dtype_name(each.dtype) for each in answer.tensors) or "an error"


def _call(question: Question, row: int, column: int) -> str:
    """`quantize(0x1.4p+1 float32, scale 0x1.0p-1 bfloat16, zero point 3 int32; asymmetric [-8, 7])`."""
    scheme = question.scheme
    grid = f"{scheme.mapping} [{scheme.qmin:g}, {scheme.qmax:g}]"
    if question.step is Step.CHOOSE:
        low, high = question.x[row].amin(), question.x[row].amax()
        zero = "" if scheme.zero_point_dtype is None else f", zero point {dtype_name(scheme.zero_point_dtype)}"
        stored = f"scale {dtype_name(scheme.scale_dtype)}{zero}, eps {scheme.eps:g}"
        return f"choose_qparams(values in [{number(low)}, {number(high)}] {_dtype(low)}; {grid}, {stored})"
    assert question.scale is not None
    qparams = f"scale {number(question.scale[row, 0])} {_dtype(question.scale)}"
    if question.zero_point is not None:
        qparams += f", zero point {number(question.zero_point[row, 0])} {_dtype(question.zero_point)}"
    if question.step is Step.QUANTIZE:
        return f"quantize({number(question.x[row, column])} {_dtype(question.x)}, {qparams}; {grid})"
    assert question.codes is not None
    return f"dequantize({number(question.codes[row, column])}, {qparams}, to {dtype_name(question.output)}; {grid})"


def _dtype(t: Tensor) -> str:
    return dtype_name(t.dtype)


def number(t: Tensor) -> str:
    """An integer as it is, a float in hexadecimal: 0x1.8p+1."""
    if not t.dtype.is_floating_point:
        return str(int(t))
    digits, p, exponent = float(t.double()).hex().partition("p")
    return f"{digits.rstrip('0').rstrip('.') if p else digits}{p}{exponent}"
