"""How a run ended, from what is on disk: its sentence, verdicts by edge, known divergences, the foremost new ones.

Reads records and imports pyarrow, so commands import it when they run.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from parity.cli.terminal import table
from parity.divergences import NewDivergence, known_rows, new_divergences
from parity.explanation import cause_sentence
from parity.manifest import Reconciliation, reconciliation
from parity.store import load_run
from parity.verdicts import Verdict
from reports.summary import verdict_sentence

SHOWN: Final = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """One run: text and JSON are made from the same numbers."""

    directory: Path
    sentence: str
    counts: Reconciliation
    divergences: tuple[NewDivergence, ...]
    known: Mapping[str, int]
    lost: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "run": str(self.directory),
            "sentence": self.sentence,
            "planned": self.counts.planned,
            "verdicts": {verdict.value: n for verdict, n in self.counts.verdicts.items()},
            "edges": {
                edge.edge: {"planned": edge.planned, **{verdict.value: n for verdict, n in edge.verdicts.items()}}
                for edge in self.counts.edges
            },
            "new_divergences": [divergence.to_json() for divergence in self.divergences],
            "known": dict(self.known),
        }

    def lines(self) -> Iterator[str]:
        """Verdicts by edge, then what diverged, then the sentence."""
        ran = [edge for edge in self.counts.edges if edge.planned != edge.verdicts.get(Verdict.UNRUN, 0)]
        given = [verdict for verdict in Verdict if any(edge.verdicts.get(verdict) for edge in ran)]
        rows = [
            (edge.edge, f"{edge.planned:,}", *(f"{n:,}" if (n := edge.verdicts.get(v, 0)) else "" for v in given))
            for edge in ran
        ]
        yield from table(rows, ("edge", "planned", *(verdict.value for verdict in given)))
        if unrun := len(self.counts.edges) - len(ran):
            yield f"Another {unrun} {'edge was' if unrun == 1 else 'edges were'} not run at all."
        if self.known:
            rows = [(row, f"{n:,}") for row, n in self.known.items()]
            yield from ("", *table(rows, ("known, by row of the ledger", "pairs")))
        for divergence in self.divergences:
            yield ""
            yield f"{divergence.cells:,} x {divergence.signature}"
            yield f"    {divergence.sentence}"
            if divergence.cause:
                yield f"    {cause_sentence(divergence.first_stage, divergence.cause)}"
            yield f"    parity replay {divergence.cell}"
        yield ""
        yield self.sentence


def summary(directory: Path) -> Summary:
    """The run in a directory, finished or not. Raises StoreError."""
    run = load_run(directory)
    return Summary(
        directory=directory,
        sentence=verdict_sentence(run),
        counts=reconciliation(run.manifest, run.judged()),
        divergences=new_divergences(run, SHOWN),
        known=known_rows(run),
        lost=run.lost,
    )
