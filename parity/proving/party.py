"""A party of a claim: the engine under some rules, by one of its paths; or what it is held against."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final

from parity.backends.functions import Functions
from parity.backends.registry import backend_named
from quant import Rules, rules_named
from quant.rule_sets import RULE_SETS

# A proof is of forward steps: gradients held at identity exclude no other decision.
_FORWARD: Final = {"gradient_mask": "rounded", "gradient_product": "identity", "float_gradient_product": "identity"}


class Path(StrEnum):
    """How a party computes.

    PUBLIC = quantize, fake_quantize, dequantize or choose_qparams, as the step says, or all but the second for a round
    trip. STORED = fake_quantize by way of stored codes: quantize, then dequantize. FUSED = a round trip by quant's
    fused kernels. ORACLE = what the rules declare, by parity.oracle. FUNCTIONS = a black box.
    """

    PUBLIC = "public"
    STORED = "stored"
    FUSED = "fused"
    ORACLE = "oracle"
    FUNCTIONS = "functions"


@dataclass(frozen=True, slots=True, kw_only=True)
class Party:
    """name = how a claim writes it: `engine`, `engine,code_division=reciprocal_multiply`, `stored`, `fused`, `oracle`.

    A black box declares rules and has functions; nothing else does.
    """

    name: str
    rules: Rules
    path: Path = Path.PUBLIC
    functions: Functions | None = None


def party_of(texts: Sequence[str], base: str) -> Party:
    """The rules that ["torchao", "code_division=divide"] name, or ["code_division=divide"] on the set `base`.

    Raises ValueError for what names no set, no decision or no value, and for two sets.
    """
    sets = [text for text in texts if "=" not in text]
    if len(sets) > 1:
        raise ValueError(f"{' and '.join(sets)} are two rule sets; name one, and FIELD=VALUE for what differs from it")
    name = sets[0] if sets else base
    flips = dict(_flip(text) for text in texts if "=" in text)
    if name not in RULE_SETS:
        raise ValueError(f"{name!r} is neither FIELD=VALUE nor a rule set; the named sets are {', '.join(RULE_SETS)}")
    rules = rules_named(name)[0].with_values(**_FORWARD | flips)
    told = ",".join([name, *(f"{field}={value}" for field, value in flips.items())])
    return Party(name=told, rules=replace(rules, refuse_lossy=False))


def other_party(text: str, a: Party) -> Party:
    """The other party: a rule set; `oracle`, `stored` or `fused`, which carry out A's own rules; or `backend:torchao`,
    which declares them. Raises ValueError for a backend without functions that take a given scale.
    """
    if text in (Path.ORACLE, Path.STORED, Path.FUSED):
        return Party(name=text, rules=a.rules, path=Path(text))
    kind, _, name = text.partition(":")
    if kind == "backend":
        functions = getattr(backend_named(name), "functions", None)
        if not isinstance(functions, Functions):
            raise ValueError(f"backend {name} has no functions that take a given scale; torchao has")
        return Party(name=text, rules=a.rules, path=Path.FUNCTIONS, functions=functions)
    return party_of(text.split(","), text.partition(",")[0])


def black_box(name: str, functions: Functions, declares: str = "engine") -> Party:
    """Three functions that are said to carry out a rule set."""
    return replace(party_of([declares], declares), name=name, path=Path.FUNCTIONS, functions=functions)


def _flip(text: str) -> tuple[str, str]:
    field, _, value = text.partition("=")
    return field, value
