"""write_report(RUN) writes RUN/report.html, one file that works from disk, and beside it the same numbers as JSON."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from jinja2 import Environment, FileSystemLoader, StrictUndefined, Template
from markupsafe import Markup

from parity.axes import AXES, PRESETS
from parity.explanation import cause_sentence
from parity.formats import FLOATS, INTEGERS
from parity.gate.comparable import ENGINE
from parity.ledger import Row
from parity.manifest import EdgeCount
from parity.store import load_run
from parity.verdicts import Verdict
from parity.whole_file import write_whole
from reports import assets
from reports.baseline import KINDS, kind_codes
from reports.detail import detailed_cells, details
from reports.explained import explained_findings, explained_signatures
from reports.findings import FIRST_STAGES
from reports.load import VERDICTS, load
from reports.page import Page, page
from reports.payload import deflate, pack
from reports.stage_formulas import FORMULAS, SHORT, SOURCES
from reports.twin import made, twin_text

# Beyond this many bytes the page keeps its words and counts, and says that the cells were left out.
MAX_BYTES = 10_000_000

_TEMPLATES = Path(__file__).with_name("templates")


def write_report(
    run_directory: Path, out: Path | None = None, baseline: Path | None = None, subject: str = ENGINE
) -> Path:
    """The path of the page: `out`, or RUN/report.html. The JSON twin has the same name with the suffix .json.

    baseline = a run that this one is held against, subject = what may differ between them. Raises
    parity.store.StoreError where a run cannot be read or the page not written.
    """
    path = run_directory / "report.html" if out is None else out
    shown = page(load(run_directory), None if baseline is None else load_run(baseline), subject)
    write_whole(path, html(shown).encode())
    write_whole(path.with_suffix(".json"), twin_text(shown).encode())
    return path


def template(name: str) -> Template:
    """A page to fill in: everything is escaped, and a name that it lacks is an error."""
    environment = Environment(
        loader=FileSystemLoader(_TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    return environment.get_template(name)


def html(shown: Page, *, max_bytes: int = MAX_BYTES) -> str:
    """The page, at most about max_bytes long: where the cells do not fit they are left out, and it says so."""
    data, detail = cell_data(shown)
    fits = len(data) + len(detail) <= max_bytes
    script, style = assets.script(), assets.style()
    return template("report.html").render(
        page=shown,
        counts=shown.sheet.reconciliation,
        manifest=shown.sheet.run.manifest,
        made=made(shown),
        cause_sentence=cause_sentence,
        verdicts=VERDICTS,
        unrun_edges=[edge for edge in shown.sheet.reconciliation.edges if _not_run(edge)],
        n_cells=len(shown.sheet.cells),
        policy=assets.policy(script, style),
        script=Markup(script),  # noqa: S704  our own file: escaping it would change its hash
        style=Markup(style),  # noqa: S704  the same
        data=embedded(data) if fits else None,
        detail=embedded(detail) if fits else None,
    )


def cell_data(shown: Page) -> tuple[str, str]:
    """Every cell as columns, and the chosen cells with all their stages; both packed."""
    sheet, found = shown.sheet, shown.sheet.findings
    chosen = detailed_cells(sheet, explained_findings(sheet, shown.explanations))
    facts: dict[str, Any] = {
        "axes": [
            {"name": axis.name, "words": axis.words, "meaning": AXES[axis.name].meaning}
            for axis in sheet.coordinates.axes
        ],
        "presets": {preset: dict(values) for preset, values in PRESETS.items()},
        "odd": {str(cell): text for cell, text in sheet.coordinates.odd.items()},
        "edges": sheet.edges,
        "verdicts": [verdict.value for verdict in VERDICTS],
        "stages": FIRST_STAGES,
        "short": SHORT,
        "formulas": FORMULAS,
        "sources": SOURCES,
        "formats": {name: asdict(form) for name, form in (FLOATS | INTEGERS).items()},
        "messages": sheet.messages.words,
        "first_indices": found.first_index.words,
        "signatures": found.signature.words,
        "causes": found.cause.words,
        "ledgers": found.ledger.words,
        "ledger_rows": {row.id: _ledger_row(row) for row in shown.ledger},
        "detailed": chosen,
        "explained": explained_signatures(sheet, shown.explanations),
    }
    columns = {
        **{f"axis.{axis.name}": _narrow(axis.codes, len(axis.words)) for axis in sheet.coordinates.axes},
        **{f"verdict.{i}": sheet.verdicts[i] for i in range(len(sheet.edges))},
        "message": _narrow(sheet.messages.codes, len(sheet.messages.words)),
        "finding.cell": found.cell,
        "finding.edge": found.edge,
        "finding.verdict": found.verdict,
        "finding.stage": found.stage,
        "finding.n_different": found.n_different.astype(np.float64),
        "finding.n_total": found.n_total.astype(np.float64),
        "finding.max_ulp": found.max_ulp,
        "finding.first_index": found.first_index.codes,
        "finding.signature": found.signature.codes,
        "finding.cause": found.cause.codes,
        "finding.ledger": found.ledger.codes,
    }
    if shown.baseline is not None and shown.baseline.gate is not None:
        facts |= {"baseline": shown.baseline.name, "changes": KINDS}
        columns |= {"finding.change": kind_codes(sheet, shown.baseline)}
    detail = json.dumps(details(sheet, chosen, shown.explanations), separators=(",", ":"), ensure_ascii=False)
    return pack(facts, columns), deflate(detail.encode())


def embedded(value: object) -> Markup:
    """JSON that can stand in a script element: no text of it can close the element or open a comment."""
    return Markup(json.dumps(value).replace("<", "\\u003c"))  # noqa: S704  "<" is all that could end the element


def _not_run(edge: EdgeCount) -> bool:
    """Every planned pair is unrun, and nothing else is to be said: the page shows such edges folded."""
    return bool(edge.planned) and not edge.sentence and edge.verdicts.get(Verdict.UNRUN, 0) == edge.planned


def _ledger_row(row: Row) -> dict[str, str]:
    return {
        "reason": row.reason,
        "owner": row.owner,
        "link": row.link,
        "date": str(row.date),
        "expires": str(row.expires),
    }


def _narrow(codes: npt.NDArray[Any], n_words: int) -> npt.NDArray[Any]:
    """The codes in the narrowest type that holds them."""
    kind = np.uint8 if n_words <= 2**8 else np.uint16 if n_words <= 2**16 else np.uint32
    return codes.astype(kind)
