"""What answers leave possible: values of each field, and combinations of fields that only together are possible."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from enum import StrEnum
from functools import lru_cache
from itertools import product
from math import prod
from typing import Final

from parity.black_box.acting import BASE, FIELDS, acting, searched
from parity.black_box.question import Answer, Question, Untellable
from quant import Rules
from quant.rules import enumeration_of

# Values of some fields: of those that act beside one another, so that a field left out may have any value.
Combination = frozenset[tuple[str, StrEnum]]
Relation = frozenset[Combination]
# A combination, and the digest of the answer that it gives.
Expectation = tuple[tuple[Combination, str], ...]
FEW: Final = 16  # combinations
ANY: Final = "any"  # it may answer whatever it likes
NONE: Final = "none"  # it gives the scheme no meaning


def _every_value() -> dict[str, tuple[StrEnum, ...]]:
    names = frozenset[str]().union(*FIELDS.values())
    return {name: tuple(enumeration_of(Rules, name)) for name in Rules.decisions() if name in names}


@dataclass(slots=True)
class Knowledge:
    """values[field] = what the field may be; relations = for each question, the combinations that give its answer."""

    values: dict[str, tuple[StrEnum, ...]] = field(default_factory=_every_value)
    relations: list[Relation] = field(default_factory=list)

    def expected(self, question: Question) -> Expectation:
        """What every possible combination of the fields that act in a question would have it answered by."""
        would = _would if question.own else _would_anywhere
        return tuple((combination, would(question, rules)) for combination, rules in self.candidates(question))

    def learn(self, expected: Expectation, answer: Answer) -> bool:
        """Leave possible what was expected to give this answer; False, and nothing learned, where nothing was."""
        fitting = frozenset(combination for combination, told in expected if told in (answer.digest, ANY))
        if not fitting or not self._tells(self._remaining(fitting)):
            return bool(fitting)
        before = dict(self.values), list(self.relations)
        self.relations.append(fitting)
        self._prune()
        if all(self.values.values()) and all(self.relations):
            return True
        self.values, self.relations = before  # each answer has rules that give it, and all together have none
        return False

    def unknown(self, question: Question) -> tuple[str, ...]:
        """The fields acting in a question that are not known; where there is none, its answer can only confirm."""
        return tuple(name for name in searched(question) if len(self.values[name]) > 1)

    def nearly_knows(self, question: Question) -> bool:
        """Whether what is expected costs less to compute than an answer may cost to ask for."""
        return 1 < prod(len(self.values[name]) for name in self.unknown(question)) <= FEW

    def candidates(self, question: Question) -> Iterator[tuple[Combination, Rules]]:
        """Every combination of the fields that act in a question and are still possible, with rules that have it."""
        fields = searched(question)
        if not self.unknown(question):
            yield frozenset(), _rules(fields, tuple(self.values[name][0] for name in fields))
            return
        seen: set[Combination] = set()
        for values in product(*(self.values[name] for name in fields)):
            try:
                rules = _rules(fields, values)
                names = acting(question, rules, fields)
            except ValueError:  # two of the values exclude each other
                continue
            combination = frozenset((name, getattr(rules, name)) for name in names)
            if combination not in seen and self.allows(combination):
                seen.add(combination)
                yield combination, rules

    def allows(self, combination: Combination) -> bool:
        """Whether every question's answer is given by some combination that agrees with this one."""
        return all(_some_agree(combination, relation) for relation in self.relations)

    def _prune(self) -> None:
        """Drop values and combinations that some other question leaves impossible, until nothing more goes."""
        before = None
        while before != (before := (dict(self.values), sum(map(len, self.relations)))):
            relations = [self._remaining(relation) for relation in self.relations]
            self.relations = list(dict.fromkeys(each for each in relations if self._tells(each)))
            for i, relation in enumerate(self.relations):
                others = self.relations[:i] + self.relations[i + 1 :]
                self.relations[i] = frozenset(c for c in relation if all(_some_agree(c, other) for other in others))
            for name, values in self.values.items():
                self.values[name] = tuple(v for v in values if self._leaves(name, v))

    def _remaining(self, relation: Relation) -> Relation:
        """The combinations of possible values, without the fields that are known."""
        possible = (c for c in relation if all(value in self.values[name] for name, value in c))
        return frozenset(frozenset(item for item in c if len(self.values[item[0]]) > 1) for c in possible)

    def _tells(self, relation: Relation) -> bool:
        """Whether it leaves out any combination of possible values."""
        if not relation:
            return True
        if frozenset() in relation:
            return False
        names = {name for c in relation for name, _ in c}
        whole = all(len(c) == len(names) for c in relation)
        return not (whole and len(relation) == prod(len(self.values[name]) for name in names))

    def _leaves(self, name: str, value: StrEnum) -> bool:
        return all(_some_agree(frozenset({(name, value)}), relation) for relation in self.relations)


def _rules(fields: tuple[str, ...], values: tuple[StrEnum, ...]) -> Rules:
    """The engine's rules with these values. Raises ValueError where two of them exclude each other."""
    pairs = zip(fields, values, strict=True)
    return _changed(tuple((name, value) for name, value in pairs if value is not getattr(BASE, name)))


@lru_cache(maxsize=65536)
def _changed(changes: tuple[tuple[str, StrEnum], ...]) -> Rules:
    return replace(BASE, **dict(changes))  # type: ignore[arg-type]  # each of them a member of its field's enumeration


def _some_agree(combination: Combination, relation: Relation) -> bool:
    wanted = dict(combination)
    return any(all(wanted.get(name, value) == value for name, value in other) for other in relation)


def tells_apart(expected: Expectation) -> bool:
    """Whether some answer would refute some combination and leave another."""
    return len({told for _, told in expected}) > 1


def _would(question: Question, rules: Rules) -> str:
    try:
        return question.made(rules).digest
    except Untellable:
        return ANY
    except ValueError:
        return NONE


_would_anywhere = lru_cache(maxsize=131072)(_would)  # questions made from numbers alone are put to every box
