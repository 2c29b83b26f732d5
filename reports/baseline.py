"""against(baseline, run) = the gate of a run for its page: what moved, and what became of each divergence."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from parity.gate.changes import Kind, kinds_of
from parity.gate.comparable import IncomparableError
from parity.gate.gate import Gate, gate
from parity.store import Run
from reports.load import Sheet

# What a finding is against the baseline; "" where that is not known, or the finding is no divergence.
KINDS = ("", *Kind)


@dataclass(frozen=True, slots=True, kw_only=True)
class Baseline:
    """sentence = the gate's, or why there is none: runs of unlike settings are shown, not compared.

    kinds = what became of each pair, by cell and edge, that diverges in one of the runs.
    """

    name: str
    commit: str
    sentence: str
    gate: Gate | None
    kinds: Mapping[tuple[str, str], Kind] = field(default_factory=dict)

    @property
    def changed(self) -> int:
        """Signatures that are not what they were."""
        return 0 if self.gate is None else sum(each.kind is not Kind.UNCHANGED for each in self.gate.changes)


def against(baseline: Run, run: Run, subject: str) -> Baseline:
    """Hold the run against the baseline, as `parity gate --subject SUBJECT` does."""
    commit = baseline.manifest.environment.subject.get("engine_commit")
    name, short = baseline.directory.name, "" if commit is None else str(commit)[:12]
    try:
        found = gate(baseline, run, subject=subject)
    except IncomparableError as error:
        return Baseline(name=name, commit=short, sentence=str(error), gate=None)
    return Baseline(name=name, commit=short, sentence=found.sentence, gate=found, kinds=kinds_of(baseline, run))


def kind_codes(sheet: Sheet, baseline: Baseline) -> npt.NDArray[np.uint8]:
    """[findings] what each has become, as a position in KINDS."""
    found = sheet.findings
    pairs = zip(found.cell.tolist(), found.edge.tolist(), strict=True)
    kinds = (baseline.kinds.get((sheet.cells[cell], sheet.edges[edge]), "") for cell, edge in pairs)
    return np.fromiter(map(KINDS.index, kinds), np.uint8, len(found))
