"""junit(gate) = the gate as JUnit XML: a test case for each lane and first stage that moved, and for each signature."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final, NamedTuple
from xml.etree import ElementTree

from parity.explanation import cause_sentence
from parity.gate.changes import Kind
from parity.gate.gate import Gate
from parity.rerun import rerun

# XML 1.0 has no way at all to write these.
_UNWRITABLE: Final = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


class _Case(NamedTuple):
    """One test case; failure "" = passed, error = the gate could not see."""

    group: str
    name: str
    failure: str = ""
    error: str = ""


def junit(gate: Gate) -> str:
    """One suite. A gate without anything to tell has one case that passed: an empty file is never a green one."""
    cases = list(_cases(gate))
    suite = ElementTree.Element(
        "testsuite",
        name="parity gate",
        tests=str(len(cases)),
        failures=str(sum(bool(case.failure) for case in cases)),
        errors=str(sum(bool(case.error) for case in cases)),
    )
    for case in cases:
        element = ElementTree.SubElement(suite, "testcase", classname=_clean(case.group), name=_clean(case.name))
        for kind, text in (("failure", case.failure), ("error", case.error)):
            if text:
                ElementTree.SubElement(element, kind, message=_clean(text)).text = _clean(text)
    ElementTree.indent(suite)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + ElementTree.tostring(suite, encoding="unicode") + "\n"


def _cases(gate: Gate) -> Iterator[_Case]:
    for number, hole in enumerate(gate.holes, start=1):
        yield _Case("holes", f"hole {number}", error=hole)
    yield _Case("gate", "runs compared", error="" if gate.lanes else "nothing was compared")
    for rule in gate.rules:
        yield _Case("rules", " and ".join(f"{flip.rules}.{flip.field}" for flip in rule.flips), failure=rule.told)
    for move in gate.moves:
        text = f"{len(move.cells):,} cells, {move.outputs:,} outputs; {rerun(move.example)}"
        yield _Case("moved bits", f"{move.lane} at {move.stage}", failure=text)
    for change in gate.changes:
        why = f"{change.kind}: {change.pairs:,} pairs, {cause_sentence(change.parts.first_stage, change.parts.cause)}"
        told = f"{why}; {rerun(change.cell)}"
        fixed = change.kind is Kind.FIXED and bool(change.rows)
        ledger = f"remove {', '.join(change.rows)} from the ledger" if fixed else ""
        yield _Case("signatures", change.signature, failure=told if change.red else ledger)


def _clean(text: str) -> str:
    return _UNWRITABLE.sub("\ufffd", text)
