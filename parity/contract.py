"""promise holds at a stage: `exact` = equal bits; `ulp<=k` = same dtype and shape, every distance at most k ulp.

A contract's text is one promise for every stage, then promises for single stages: "exact", "exact, output:ulp<=4".
"""

import re
from dataclasses import dataclass
from functools import lru_cache

from parity.record import STAGES, StageDiff

_PROMISE = re.compile(r"exact|tie|(?P<kind>ulp<=|sqnr>=)(?P<bound>\d+)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Promise:
    """What an edge promises at one stage; max_ulps is 0 for `exact`, where not even the sign of a zero may move."""

    text: str
    exact: bool
    max_ulps: int

    def kept_by(self, diff: StageDiff) -> bool:
        """Whether the stage keeps the promise. A one-sided NaN has no distance, so no bound covers it."""
        if diff.identical:
            return True
        if self.exact or diff.max_ulp is None or diff.histogram[-1]:
            return False
        return diff.max_ulp <= self.max_ulps


@dataclass(frozen=True, slots=True, kw_only=True)
class Contract:
    """The promise an edge makes at each stage."""

    text: str
    everywhere: Promise
    stages: tuple[tuple[str, Promise], ...]

    def at(self, stage: str) -> Promise:
        """The stage's own promise, or else the one for every stage."""
        return next((promise for name, promise in self.stages if name == stage), self.everywhere)


@lru_cache(maxsize=256)
def contract(text: str) -> Contract:
    """contract("exact, output:ulp<=4").at("output").max_ulps = 4. Raises ValueError for what is no contract."""
    first, *rest = (part.strip() for part in text.split(","))
    stages = []
    for part in rest:
        stage, colon, promise = part.partition(":")
        if not colon or stage not in STAGES:
            raise ValueError(f"{part!r} in the contract {text!r} is not `stage:promise`; the stages are {STAGES}")
        stages.append((stage, _promise(promise)))
    names = [stage for stage, _ in stages]
    if len(set(names)) != len(names):
        raise ValueError(f"the contract {text!r} promises one stage two things; name each stage once")
    return Contract(text=text, everywhere=_promise(first), stages=tuple(stages))


def _promise(text: str) -> Promise:
    match = _PROMISE.fullmatch(text)
    if match is None:
        raise ValueError(f"{text!r} is not a promise; promises are exact, tie, ulp<=K and sqnr>=D with whole K and D")
    if text == "exact":
        return Promise(text=text, exact=True, max_ulps=0)
    if match["kind"] == "ulp<=":
        return Promise(text=text, exact=False, max_ulps=int(match["bound"]))
    # A tie needs x/scale and sqnr needs the values: neither is in a StageDiff, so neither can be checked from one.
    raise ValueError(f"the promise {text!r} cannot be checked at this stage of the work; use exact or ulp<=K")
