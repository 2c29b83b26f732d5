"""against(baseline, run) = the gate of a run for its page: what moved, and what became of each divergence."""

from dataclasses import dataclass

from parity.gate.changes import Kind
from parity.gate.comparable import IncomparableError
from parity.gate.gate import Gate, gate
from parity.store import Run


@dataclass(frozen=True, slots=True, kw_only=True)
class Baseline:
    """sentence = the gate's, or why there is none: runs of unlike settings are shown, not compared."""

    name: str
    commit: str
    sentence: str
    gate: Gate | None

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
    return Baseline(name=name, commit=short, sentence=found.sentence, gate=found)
