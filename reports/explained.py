"""explanations(run) = why lanes part on the cells that the run explained, by cell and edge."""

from dataclasses import dataclass
from functools import cached_property

from parity.kept_explanation import KeptExplanation, read_explanations
from parity.store import Run
from parity.whole_file import StoreError
from reports.load import Sheet

Key = tuple[str, str]


@dataclass(frozen=True, kw_only=True)
class Explanations:
    """The rows as the run holds them; wrong = why they cannot be shown, "" where they can or there are none."""

    rows: tuple[KeptExplanation, ...] = ()
    wrong: str = ""

    @cached_property
    def by_pair(self) -> dict[Key, KeptExplanation]:
        return {kept.key: kept for kept in self.rows}


def explanations(run: Run) -> Explanations:
    """The rows of a run's directory; a file that cannot be read is told, and nothing else is lost with it."""
    try:
        return Explanations(rows=read_explanations(run.directory))
    except StoreError as error:
        return Explanations(wrong=str(error))


def explained_findings(sheet: Sheet, found: Explanations) -> dict[int, KeptExplanation]:
    """The findings that are explained, by their place among the findings."""
    if not found.rows:
        return {}
    pairs = {(sheet.cells[cell], sheet.edges[edge]): i for i, (cell, edge) in enumerate(_places(sheet))}
    return {pairs[key]: kept for key, kept in found.by_pair.items() if key in pairs}


def explained_signatures(sheet: Sheet, found: Explanations) -> dict[str, Key]:
    """Of each signature that has one, the first cell and edge that is explained: its other pages point there."""
    findings = sheet.findings
    told: dict[str, Key] = {}
    for finding, kept in explained_findings(sheet, found).items():
        told.setdefault(findings.signature.words[findings.signature.codes[finding]], kept.key)
    return told


def _places(sheet: Sheet) -> list[tuple[int, int]]:
    """Cell and edge of each finding."""
    return list(zip(sheet.findings.cell.tolist(), sheet.findings.edge.tolist(), strict=True))
