"""read_explanations(write_explanation(...)) = the same: why two lanes part on a cell, as a run keeps it for its page.

A file in RUN/explanations for each pair that was explained; plain frozen values: no tensor, no torch.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from hashlib import blake2b
from pathlib import Path
from typing import Any, Final

from parity.explanation import Cause, Explanation
from parity.whole_file import StoreError, write_whole

FOLDER: Final = "explanations"
SCHEMA: Final = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where a lane's exact quotient lies among the codes, with the scale that the lane stored.

    exact = x / scale + zero point, rounded once to float64; tie = the nearest k + 1/2; ulps = |exact - tie| in ulp of
    the dtype that the quotient is rounded to; code = what the lane made of it. scale is a hexadecimal float.
    """

    lane: str
    scale: str
    exact: float
    tie: float
    ulps: float
    code: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Tie:
    """The first element whose code differs: its index and value (a hexadecimal float), and its place in each lane."""

    stage: str
    index: tuple[int, ...]
    x: str
    places: tuple[Place, Place]


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """What the oracle says of one lane: stage = the first at which it is not as it declares, None where all are."""

    lane: str
    stage: str | None
    sentence: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Small:
    """The plainest cell on which the lanes part alike, and a script that shows it on the smallest weight.

    passing = the value nearest to that of `moved`, weight[0, 3], at which the lanes agree, a hexadecimal float; None
    where none is near.
    """

    cell: str
    script: str
    passing: str | None
    moved: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptExplanation:
    """An explanation with what a page draws beside it.

    judged is empty at a stage that the oracle has no opinion on; small = None where it was not sought, or not found.
    """

    explanation: Explanation
    judged: tuple[Judged, ...] = ()
    tie: Tie | None = None
    small: Small | None = None

    @property
    def key(self) -> tuple[str, str]:
        """Cell and edge."""
        return self.explanation.cell, self.explanation.edge

    def to_json(self) -> dict[str, Any]:
        """Plain values, the sentence among them."""
        return {**asdict(self), "sentence": self.explanation.sentence}


def write_explanation(directory: Path, kept: KeptExplanation) -> Path:
    """The file, written whole into a run directory. Raises StoreError."""
    folder = directory / FOLDER
    try:
        folder.mkdir(exist_ok=True)
    except OSError as error:
        raise StoreError(f"{folder} could not be made: {error.strerror}.") from error
    # A cell's id may be longer than a file system allows.
    path = folder / f"{blake2b(chr(0).join(kept.key).encode(), digest_size=12).hexdigest()}.json"
    write_whole(path, (json.dumps({"schema": SCHEMA, **kept.to_json()}, indent=1) + "\n").encode())
    return path


def read_explanations(directory: Path) -> tuple[KeptExplanation, ...]:
    """What a run directory holds, in the order of cells and edges. Raises StoreError for a file that is none."""
    found = [_read(path) for path in (directory / FOLDER).glob("*.json")]
    return tuple(sorted(found, key=lambda kept: kept.key))


def _read(path: Path) -> KeptExplanation:
    try:
        facts = json.loads(path.read_text(encoding="utf-8"))
        if facts["schema"] != SCHEMA:
            raise ValueError(f"its schema is {facts['schema']!r}; this version reads schema {SCHEMA} only")
        return KeptExplanation(
            explanation=_explanation(facts["explanation"]),
            judged=tuple(Judged(**row) for row in facts["judged"]),
            tie=None if facts["tie"] is None else _tie(facts["tie"]),
            small=None if facts["small"] is None else Small(**facts["small"]),
        )
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise StoreError(f"{path} is no explanation: {error}.") from error


def _explanation(facts: dict[str, Any]) -> Explanation:
    nested = {
        "causes": _causes(facts["causes"]),
        "undetermined": tuple(map(_causes, facts["undetermined"])),
        "inherited": tuple(facts["inherited"]),
    }
    return Explanation(**{**facts, **nested})


def _causes(rows: Sequence[Sequence[str]]) -> tuple[Cause, ...]:
    return tuple(Cause(*row) for row in rows)


def _tie(facts: dict[str, Any]) -> Tie:
    a, b = (Place(**row) for row in facts["places"])
    return Tie(**{**facts, "index": tuple(facts["index"]), "places": (a, b)})
