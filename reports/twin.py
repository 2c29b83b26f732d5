"""twin(page) = the page's numbers as JSON: its counts, its signatures, and every finding rather than the first few."""

import json
from dataclasses import asdict, fields
from typing import Any

from reports.page import Mismatch, Page, mismatch
from reports.signatures import SignatureRow


def twin_text(page: Page) -> str:
    """The twin as JSON with a line for each entry of its lists, so that two of them can be compared line by line."""
    return "{\n" + ",\n".join(f"{_text(key)}: {_lines(value)}" for key, value in twin(page).items()) + "\n}\n"


def twin(page: Page) -> dict[str, Any]:
    """The page as plain values for json.dumps; "made" holds what differs between two runs of the same bits."""
    sheet, manifest = page.sheet, page.sheet.run.manifest
    counts = sheet.reconciliation
    return {
        "schema": 1,
        "sentence": page.sentence,
        "status": page.status.name.lower(),
        "tier": manifest.tier,
        "planned": counts.planned,
        "lost": counts.lost,
        "verdicts": {verdict.value: n for verdict, n in counts.verdicts.items()},
        "edges": [
            {
                "edge": edge.edge,
                "planned": edge.planned,
                "verdicts": {verdict.value: n for verdict, n in sorted(edge.verdicts.items())},
                "lost": edge.lost,
                "extra": edge.extra,
            }
            for edge in counts.edges
        ],
        "wrong": [*counts.sentences, *sheet.run.lost],
        "cut": list(manifest.cut),
        "coverage": asdict(page.coverage),
        "environment": asdict(manifest.environment),
        "signatures": [_signature(row) for row in page.signatures],
        "detections": [asdict(row) for row in page.detections.rows],
        "mutants": [asdict(row) for row in page.mutants.rows],
        "proofs": [{**asdict(row), "proved": row.proved, "sentence": row.sentence} for row in page.proofs.rows],
        "explanations": [kept.to_json() for kept in page.explanations.rows],
        "mismatches": [_facts(mismatch(sheet, finding)) for finding in range(len(sheet.findings))],
        **_against(page),
        "made": made(page),
    }


def _against(page: Page) -> dict[str, Any]:
    """What the page says of its baseline; nothing where it has none."""
    if page.baseline is None:
        return {}
    found = page.baseline.gate
    return {"baseline": {"sentence": page.baseline.sentence, "gate": None if found is None else found.to_json()}}


def made(page: Page) -> dict[str, Any]:
    """When, where and by which command: the one block that may differ between two runs of the same bits."""
    manifest = page.sheet.run.manifest
    return {
        "run": page.sheet.run.directory.name,
        "argv": list(manifest.argv),
        "started": manifest.started,
        "finished": manifest.finished,
    }


def _signature(row: SignatureRow) -> dict[str, Any]:
    where = None if row.where is None else row.where.sentence
    return {
        "signature": row.text,
        "pairs": row.pairs,
        "new": row.new,
        "ledger": row.ledger,
        "example": row.example,
        "where": where,
    }


_NAMES = tuple(field.name for field in fields(Mismatch))


def _facts(found: Mismatch) -> dict[str, Any]:
    """asdict(found), without the copies that cost a run of many findings half a second."""
    return {name: getattr(found, name) for name in _NAMES}


def _lines(value: object) -> str:
    return "[\n" + ",\n".join(map(_text, value)) + "\n]" if isinstance(value, list) and value else _text(value)


def _text(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)
