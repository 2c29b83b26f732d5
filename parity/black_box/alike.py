"""Which values that are still possible are one: provably equal, or idle, in every question that was answered."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from enum import StrEnum
from itertools import product
from math import prod
from typing import Final

import torch

from parity.black_box.acting import BASE, acting
from parity.black_box.question import Question, Step, under
from parity.equivalences import merged
from quant import Rules
from quant.scheme import ResolvedScheme

Possible = Mapping[str, tuple[StrEnum, ...]]
MOST: Final = 64  # combinations of the other unknown fields; beyond them nothing is said to be one


def classes(field: str, possible: Possible, answered: Iterable[Question]) -> tuple[tuple[str, ...], ...]:
    """The field's possible values, those that are one together, whatever the other fields may still be."""
    values = possible[field]
    if prod(len(each) for name, each in possible.items() if name != field) > MOST:
        return tuple((str(value),) for value in values)
    asked, told = _distinct(answered), dict[object, list[str]]()
    seen = [
        each for rules in _beside(field, possible) for question in asked for each in _acting(field, question, rules)
    ]
    for value in values:
        told.setdefault(tuple(merged(*each, field, value) or value for each in seen), []).append(str(value))
    return tuple(map(tuple, told.values()))


def _distinct(answered: Iterable[Question]) -> tuple[Question, ...]:
    """One question of each kind: nothing but its numbers is in no other."""
    kinds = {(each.step, each.own, each.ordinary, each.scheme, each.x.dtype, each.output): each for each in answered}
    return tuple(kinds.values())


def _beside(field: str, possible: Possible) -> Iterator[Rules]:
    others = {name: values for name, values in possible.items() if name != field}
    for combination in product(*others.values()):
        try:
            yield BASE.with_values(**dict(zip(others, combination, strict=True)))
        except ValueError:  # two of the values exclude each other
            continue


def _acting(field: str, question: Question, rules: Rules) -> Iterator[tuple[ResolvedScheme, torch.dtype]]:
    """The scheme and dtype of a question, where the field acts in it beside these rules."""
    try:
        scheme = under(question.scheme, rules)
    except ValueError:  # these rules give the scheme no meaning, and the box has answered
        return
    if acting(question, rules, (field,)):
        yield scheme, question.output if question.step is Step.DEQUANTIZE else question.x.dtype
