"""parity.fingerprint(backend): the rules of a black box, each value found by refuting every other, or not found.

The box is asked about small schemes, one of its three functions at a time, and what the engine's path would answer is
computed for every combination of the decisions that can act in the question and are still possible. Those that answer
otherwise are gone. A value is found when no possible combination has another.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from itertools import cycle
from typing import Final

from parity.backends.functions import Functions
from parity.backends.protocol import Backend
from parity.backends.registry import backend_named
from parity.bits import dtype_name
from parity.black_box.acting import BASE, SPECIAL, UNSEEN, searched
from parity.black_box.agenda import agenda
from parity.black_box.alike import classes
from parity.black_box.box import functions_of
from parity.black_box.evidence import Witness, witness
from parity.black_box.knowledge import Knowledge, tells_apart
from parity.black_box.question import Answer, Question
from parity.lanes import Flow, Lane, parse_lane
from quant import Rules, rules_named

# Of the questions whose every decision is known already, one in so many is asked: it can only confirm or contradict.
CONFIRMED: Final = 4
_ONLY_SPECIAL: Final = SPECIAL | {"subnormals"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One decision: its value, or None with the values that are still possible; witnesses refute the others.

    classes = the possible values, together those that are provably one in all that was asked.
    """

    field: str
    value: str | None
    possible: tuple[str, ...]
    classes: tuple[tuple[str, ...], ...]
    witnesses: tuple[Witness, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Fingerprint:
    """What was found of a box's rules.

    unseen = decisions that no function shows. unexplained = questions that no combination answers as the box does: what
    was found of their step is taken back. refused = how many questions the box raised on.
    """

    backend: str
    findings: tuple[Finding, ...]
    asked: int
    refused: int
    unexplained: tuple[str, ...]
    unseen: tuple[str, ...] = UNSEEN

    @property
    def values(self) -> dict[str, str]:
        """The decisions that were found."""
        return {finding.field: finding.value for finding in self.findings if finding.value is not None}


def fingerprint(backend: Backend | Lane | str, *, evidence: bool = True) -> Fingerprint:
    """The rules of a backend's PTQ, as far as its answers tell them.

    A backend, its name, or `backend.rules` for a backend that carries out the rules a scheme declares. evidence=False
    leaves out the witnesses. Raises ValueError for what is no backend, for another flow or device than PTQ on cpu, and
    for a backend that does not run here.
    """
    name, box, declared = _box(backend)
    rules = replace(declared, refuse_lossy=False)
    knowledge, answered, refused = Knowledge(), list[tuple[Question, Answer]](), 0
    unexplained, void = list[Question](), set[str]()
    confirming = cycle((True, *(False,) * (CONFIRMED - 1)))

    def wanted(question: Question) -> bool:
        unknown = {*knowledge.unknown(question)}
        return bool(unknown - void) or (not unknown and next(confirming))

    for question in agenda(box, rules, wanted):
        expected = knowledge.expected(question) if knowledge.nearly_knows(question) else None
        if expected is not None and not (tells_apart(expected) or next(confirming)):
            continue
        answer = question.asked(box)
        if answer is None:
            refused += 1
            continue
        answered.append((question, answer))
        if not knowledge.learn(expected or knowledge.expected(question), answer):
            unexplained.append(question)
            void |= _supported_by(question)
    return Fingerprint(
        backend=name,
        findings=tuple(_findings(knowledge, void, answered, evidence)),
        asked=len(answered),
        refused=refused,
        unexplained=tuple(dict.fromkeys(map(_told, unexplained))),
    )


def _box(backend: Backend | Lane | str) -> tuple[str, Functions, Rules]:
    """(its text, its functions, the rules that schemes declare)."""
    if isinstance(backend, str):
        backend = parse_lane(backend if ":" in backend else f"{backend}:ptq")
    if not isinstance(backend, Lane):
        return backend.name, functions_of(backend), BASE
    plain = Lane(backend=backend.backend, rules=backend.rules, flow=Flow.PTQ)
    if backend != plain:
        raise ValueError(f"{backend} cannot be fingerprinted; only PTQ on cpu can: {plain}")
    declared = BASE if backend.rules is None else rules_named(backend.rules)[0]
    return str(plain).removesuffix(":ptq"), functions_of(backend_named(backend.backend)), declared


def _supported_by(question: Question) -> set[str]:
    """What is in doubt when nothing answers this question: all that acts in it, or what acts in no ordinary one."""
    return {*searched(question)} if question.ordinary else {*searched(question)} & _ONLY_SPECIAL


def _findings(
    knowledge: Knowledge, void: set[str], answered: list[tuple[Question, Answer]], evidence: bool
) -> Iterator[Finding]:
    possible = knowledge.values | {name: tuple(type(knowledge.values[name][0])) for name in void}
    known = {name: values[0] for name, values in possible.items() if len(values) == 1}
    rules = _legal(known) if evidence else None
    for name, values in possible.items():
        if name not in known:
            texts = tuple(map(str, values))
            told = classes(name, possible, (question for question, _ in answered))
            yield Finding(field=name, value=None, possible=texts, classes=told)
        else:
            value = str(known[name])
            others = [member for member in type(known[name]) if member != known[name]]
            found = (witness(name, other, rules, answered) for other in others) if rules is not None else ()
            witnesses = tuple(each for each in found if each is not None)
            yield Finding(field=name, value=value, possible=(value,), classes=((value,),), witnesses=witnesses)


def _legal(known: Mapping[str, StrEnum]) -> Rules | None:
    """The engine's rules with what is known; None where what is not known would have to change as well."""
    try:
        return BASE.with_values(**known)
    except ValueError:
        return None


def _told(question: Question) -> str:
    """`quantize of float32, scale bfloat16, asymmetric [-8, 7] in int`."""
    scheme = question.scheme
    kind = f"{scheme.mapping} [{scheme.qmin:g}, {scheme.qmax:g}] in {scheme.zero_point_domain}"
    numbers = "" if question.ordinary else ", special numbers"
    dtypes = f"{dtype_name(question.x.dtype)}, scale {dtype_name(scheme.scale_dtype)}"
    return f"{question.step} of {dtypes}, {kind}{numbers}"
