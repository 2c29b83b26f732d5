"""`parity accept`: rows for what is new and wanted all the same, for a person to commit."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Annotated

import typer

from parity.cli.arguments import Json
from parity.cli.terminal import say, say_json
from parity.exit_codes import ExitCode

EXAMPLES = """\b
Examples:
  parity accept runs/mine --reason "torchao keeps float codes" --owner numerics --expires 2027-06-30
  parity gate --against main --json > gate.json
  parity accept --gate gate.json --reason "division is exact now" --owner numerics --expires 2027-01-31
"""


def accept_new(
    run: Annotated[
        Path | None, typer.Argument(metavar="[RUN]", help="A run: its new divergences become rows of the ledger.")
    ] = None,
    gate: Annotated[
        Path | None, typer.Option(metavar="F.json", help="What `parity gate --json` said: moved bits are accepted.")
    ] = None,
    reason: Annotated[str, typer.Option(help="Why it is right so.")] = "",
    owner: Annotated[str, typer.Option(help="Who minds it.")] = "",
    link: Annotated[str, typer.Option(help="Where it is discussed.")] = "",
    expires: Annotated[str, typer.Option(metavar="YYYY-MM-DD", help="The last day on which the rows hold.")] = "",
    into: Annotated[Path | None, typer.Option(metavar="F.toml", help="Another file than this checkout's own.")] = None,
    as_json: Json = False,
) -> ExitCode:
    """Write down that a divergence, or bits that moved, are known and wanted. Refused where CI is set."""
    from parity.accept import AcceptError, Why, append, ledger_rows, move_rows, refuse_in_ci
    from parity.accepted import ACCEPTED_FILE
    from parity.ledger import LEDGER_FILE, read_ledger
    from parity.store import load_run

    refuse_in_ci()
    if (run is None) == (gate is None):
        raise AcceptError("name a run, whose new divergences are accepted, or --gate F.json, whose moved bits are")
    try:
        until = date.fromisoformat(expires)
    except ValueError:
        raise AcceptError(f"--expires is {expires!r}; it must be a day such as 2027-01-31") from None
    why = Why(reason=reason, owner=owner, link=link, today=datetime.now(UTC).date(), expires=until)
    if run is not None:
        path = into or LEDGER_FILE
        taken = {row.id for row in read_ledger(path)} if path.exists() else set()
        rows = ledger_rows(load_run(run), why, taken)
    else:
        assert gate is not None
        path = into or ACCEPTED_FILE
        rows = move_rows(json.loads(gate.read_text(encoding="utf-8")), why)
    append(path, rows)
    if as_json:
        say_json({"file": str(path), "rows": rows})
    else:
        say(*rows, f"{len(rows)} {'row' if len(rows) == 1 else 'rows'} written to {path}; look at them, then commit.")
    return ExitCode.PARITY
