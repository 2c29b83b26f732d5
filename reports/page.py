"""page(sheet) = what template and JSON twin both show, counted once."""

from dataclasses import dataclass

from parity.exit_codes import ExitCode, exit_code
from parity.gate.comparable import ENGINE
from parity.ledger import LEDGER_FILE, Row, read_ledger
from parity.store import Run
from parity.verdicts import Verdict
from reports.baseline import Baseline, against
from reports.coverage import Coverage, coverage
from reports.detection import Detections, detections
from reports.explained import Explanations, explanations
from reports.findings import FIRST_STAGES, NO_STAGE, NO_ULP
from reports.load import VERDICTS, Sheet
from reports.mutants import Mutants, mutants
from reports.proofs import Proofs, proofs
from reports.signatures import SignatureRow, signature_rows
from reports.summary import sentence, unrun_reasons

# How many rows of signatures and mismatches stand in the HTML itself.
TOP = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Mismatch:
    """One finding in words; the numbers are those of its first stage, None where it has none."""

    cell: str
    edge: str
    verdict: Verdict
    stage: str
    n_different: int | None
    n_total: int | None
    max_ulp: int | None
    first_index: str
    signature: str
    cause: str
    ledger: str
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """Everything that is written in words: status is the name of the exit code the run deserves."""

    sheet: Sheet
    sentence: str
    status: ExitCode
    coverage: Coverage
    signatures: tuple[SignatureRow, ...]
    top: tuple[Mismatch, ...]
    ledger: tuple[Row, ...]
    detections: Detections
    mutants: Mutants
    proofs: Proofs
    explanations: Explanations
    baseline: Baseline | None = None


def page(sheet: Sheet, baseline: Run | None = None, subject: str = ENGINE) -> Page:
    """Count and word a run, and hold it against a baseline where one is given.

    subject = what may differ between the two. The ledger's rows are read from this checkout, those alone that the run
    names.
    """
    counts, run = sheet.reconciliation, sheet.run
    named = {*sheet.findings.ledger.words} - {""}
    missing = counts.lost + sum(edge.extra for edge in counts.edges) + len(run.lost)
    return Page(
        sheet=sheet,
        sentence=sentence(counts, unrun_reasons(run), run.manifest.status, len(run.lost)),
        status=exit_code(counts.verdicts, lost=missing),
        coverage=coverage(run),
        signatures=signature_rows(sheet, explained=TOP),
        top=tuple(mismatch(sheet, finding) for finding in sheet.findings.foremost(TOP)),
        ledger=tuple(row for row in read_ledger(LEDGER_FILE) if row.id in named),
        detections=detections(run),
        mutants=mutants(run),
        proofs=proofs(run),
        explanations=explanations(run),
        baseline=None if baseline is None else against(baseline, run, subject),
    )


def mismatch(sheet: Sheet, finding: int) -> Mismatch:
    """The words of one finding."""
    found = sheet.findings
    cell, edge, stage = int(found.cell[finding]), int(found.edge[finding]), int(found.stage[finding])
    total, ulp = int(found.n_total[finding]), int(found.max_ulp[finding])
    return Mismatch(
        cell=sheet.cells[cell],
        edge=sheet.edges[edge],
        verdict=VERDICTS[found.verdict[finding]],
        stage="" if stage == NO_STAGE else FIRST_STAGES[stage],
        n_different=int(found.n_different[finding]) if total else None,
        n_total=total or None,
        max_ulp=None if ulp == NO_ULP else ulp,
        first_index=found.first_index.words[found.first_index.codes[finding]],
        signature=found.signature.words[found.signature.codes[finding]],
        cause=found.cause.words[found.cause.codes[finding]],
        ledger=found.ledger.words[found.ledger.codes[finding]],
        message=sheet.messages.words[sheet.messages.codes[edge * len(sheet.cells) + cell]],
    )
