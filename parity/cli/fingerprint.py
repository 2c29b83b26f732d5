"""`parity fingerprint BACKEND`: the rules that a black box carries out, each with an input that refutes the others."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from parity.cli.arguments import Json
from parity.cli.terminal import say, say_json, table
from parity.exit_codes import ExitCode

if TYPE_CHECKING:
    from parity.fingerprint import Finding, Fingerprint

EXAMPLES = """\b
Examples:
  parity fingerprint torchao
  parity fingerprint engine.inductor
  parity fingerprint torchao --json
"""


def fingerprint_backend(
    backend: Annotated[str, typer.Argument(metavar="BACKEND", help="Its name, or engine.RULES for a named rule set.")],
    as_json: Json = False,
) -> ExitCode:
    """Find a backend's rules from its answers alone. Unknown is an answer: no value is printed that is not forced."""
    import torch

    from parity.fingerprint import fingerprint

    torch.set_num_threads(1)  # as in a run's worker
    found = fingerprint(backend)
    if as_json:
        say_json(asdict(found))
        return ExitCode.PARITY
    say(*_lines(found))
    return ExitCode.PARITY


def _lines(found: Fingerprint) -> Iterator[str]:
    known = found.values
    yield f"{found.backend}: {len(known)} of {len(found.findings)} decisions found from {found.asked:,} answers"
    yield from table([(each.field, each.value or "unknown", _evidence(each)) for each in found.findings])
    yield f"not to be seen from outside: {', '.join(found.unseen)}"
    if found.refused:
        yield f"{found.refused:,} more questions were refused"
    yield from (f"no rules answer like this backend: {told}" for told in found.unexplained)


def _evidence(finding: Finding) -> str:
    """One witness, or what is still possible: `keep = tenth` are one in all that was asked."""
    if finding.value is None:
        told = ", ".join(map(" = ".join, finding.classes))
        return f"one of {told}" if len(finding.classes) > 1 else f"{told} in all that was asked"
    return str(finding.witnesses[0]) if finding.witnesses else ""
