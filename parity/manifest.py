"""planned = sum of verdicts, for every edge: the manifest is the plan that a run's records are held against."""

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path
from typing import Protocol

from parity.setting import Environment
from parity.verdicts import Verdict
from parity.whole_file import StoreError, write_whole

# Of the whole run directory: manifest, record files, evidence. A reader refuses every other number.
SCHEMA = 1

FILE_NAME = "manifest.json"


class RunStatus(StrEnum):
    """A run is INCOMPLETE from its first file on, so that a killed process or a full disk need not say so."""

    INCOMPLETE = "incomplete"
    INTERRUPTED = "interrupted"
    COMPLETE = "complete"


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """What a run set out to do, and where.

    edges = number of pairs planned for each edge; cut = sentences about what the budget left out; started, finished =
    UTC in ISO 8601, finished "" while the run goes on.
    """

    schema: int = SCHEMA
    tier: str
    argv: tuple[str, ...]
    planned: tuple[str, ...]
    edges: Mapping[str, int]
    cut: tuple[str, ...] = ()
    environment: Environment
    started: str
    finished: str = ""
    status: RunStatus = RunStatus.INCOMPLETE

    def to_json(self) -> str:
        """The manifest as JSON; from_json reads it back to an equal value."""
        return json.dumps(asdict(self), indent=1) + "\n"

    @classmethod
    def from_json(cls, text: str) -> "Manifest":
        """Raises ValueError for text that is no manifest, naming the schema first: another one may lack any field."""
        facts = json.loads(text)
        if not isinstance(facts, dict) or "schema" not in facts:
            raise ValueError("it names no schema")
        if facts["schema"] != SCHEMA:
            raise ValueError(f"its schema is {facts['schema']!r}; this version reads schema {SCHEMA} only")
        try:
            return cls(
                tier=facts["tier"],
                argv=tuple(facts["argv"]),
                planned=tuple(facts["planned"]),
                edges=dict(facts["edges"]),
                cut=tuple(facts["cut"]),
                environment=Environment(**facts["environment"]),
                started=facts["started"],
                finished=facts["finished"],
                status=RunStatus(facts["status"]),
            )
        except KeyError as error:
            raise ValueError(f"it lacks the field {error}") from error
        except TypeError as error:
            raise ValueError(f"one of its fields has the wrong form: {error}") from error


def write_manifest(directory: Path, manifest: Manifest) -> None:
    """Write DIRECTORY/manifest.json whole. Raises StoreError."""
    write_whole(directory / FILE_NAME, manifest.to_json().encode())


def read_manifest(directory: Path) -> Manifest:
    """The manifest of a run. Raises StoreError with a sentence when there is none, or none of this schema."""
    path = directory / FILE_NAME
    try:
        return Manifest.from_json(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise StoreError(f"{directory} is no run directory: it has no {FILE_NAME}.") from error
    except (OSError, ValueError) as error:
        raise StoreError(f"{path} cannot be read: {error}.") from error


class Judged(Protocol):
    """What reconciliation reads of a record: EdgeRecord has it, and so have the rows of parity.store."""

    @property
    def cell(self) -> str: ...
    @property
    def edge(self) -> str: ...
    @property
    def verdict(self) -> Verdict: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class EdgeCount:
    """One edge's plan against its records; verdicts counts each pair once, extra the records beyond that."""

    edge: str
    planned: int
    verdicts: Mapping[Verdict, int]
    extra: int

    @property
    def counted(self) -> int:
        return sum(self.verdicts.values())

    @property
    def lost(self) -> int:
        """Planned pairs without a record."""
        return max(0, self.planned - self.counted)

    @property
    def sentence(self) -> str:
        """What is wrong with this edge, or "" when planned = sum of verdicts."""
        if not self.extra and self.counted == self.planned:
            return ""
        text = f"{self.edge}: {self.planned} pairs were planned and {self.counted} have a verdict"
        return text + (f", {self.extra} records are of no planned pair or of one judged twice." if self.extra else ".")


@dataclass(frozen=True, slots=True, kw_only=True)
class Reconciliation:
    """The count of every edge, planned or found, in the order of their names."""

    edges: tuple[EdgeCount, ...]

    @property
    def verdicts(self) -> dict[Verdict, int]:
        """How often each verdict was given, over all edges; every verdict is a key."""
        return {verdict: sum(edge.verdicts.get(verdict, 0) for edge in self.edges) for verdict in Verdict}

    @property
    def planned(self) -> int:
        return sum(edge.planned for edge in self.edges)

    @property
    def lost(self) -> int:
        return sum(edge.lost for edge in self.edges)

    @property
    def sentences(self) -> tuple[str, ...]:
        """One for each edge whose plan and records do not meet. () = the run is whole; anything else is red."""
        return tuple(edge.sentence for edge in self.edges if edge.sentence)


def reconciliation(manifest: Manifest, records: Iterable[Judged]) -> Reconciliation:
    """Hold records against the plan. Pairs are counted, not records: a lost one cannot hide behind one judged twice."""
    cells = frozenset(manifest.planned)
    seen: set[tuple[str, str]] = set()
    verdicts = {edge: Counter[Verdict]() for edge in manifest.edges}
    extra = Counter[str]()
    for record in records:
        pair = record.cell, record.edge
        if pair in seen or record.cell not in cells or record.edge not in manifest.edges:
            verdicts.setdefault(record.edge, Counter())
            extra[record.edge] += 1
        else:
            seen.add(pair)
            verdicts[record.edge][record.verdict] += 1
    return Reconciliation(
        edges=tuple(
            EdgeCount(edge=edge, planned=manifest.edges.get(edge, 0), verdicts=dict(counts), extra=extra[edge])
            for edge, counts in sorted(verdicts.items())
        )
    )
