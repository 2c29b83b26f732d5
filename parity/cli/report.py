"""`parity report RUN`: the page of a run."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from parity.cli.arguments import Json, run_directory
from parity.cli.terminal import say, say_json
from parity.exit_codes import ExitCode

EXAMPLES = """\b
Examples:
  parity report
  parity report runs/20260101-120000-premerge -o page.html
"""


def render(
    run: Annotated[
        Path | None, typer.Argument(metavar="[RUN]", help="A run directory; the newest under ./runs when left out.")
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", metavar="FILE.html", help="Where to write; RUN/report.html by default."),
    ] = None,
    as_json: Json = False,
) -> ExitCode:
    """Render a run as one HTML page that works from disk. Its verdicts do not change the exit code."""
    from parity.cli.summary import summary
    from reports.render import write_report

    directory = run_directory(run)
    found = summary(directory)
    page = write_report(directory, out)
    if as_json:
        say_json({**found.to_json(), "report": str(page)})
    else:
        say(found.sentence, str(page))
    return ExitCode.INCOMPLETE if found.lost else ExitCode.PARITY


def written(directory: Path) -> Path:
    """The page of a run directory, beside its records: for the pytest plugin, which imports no renderer itself."""
    from reports.render import write_report

    return write_report(directory)
