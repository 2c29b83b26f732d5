"""`parity report RUN`: the page of a run."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from parity.cli.arguments import Json, run_directory
from parity.cli.terminal import say, say_json, warn
from parity.exit_codes import ExitCode

EXAMPLES = """\b
Examples:
  parity report
  parity report runs/20260101-120000-premerge -o page.html
  parity report runs/new --baseline runs/main
  parity report --index runs
"""


def render(
    run: Annotated[
        Path | None, typer.Argument(metavar="[RUN]", help="A run directory; the newest under ./runs when left out.")
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", metavar="FILE.html", help="Where to write; RUN/report.html by default."),
    ] = None,
    baseline: Annotated[
        Path | None, typer.Option(metavar="RUN", help="Say on the page what moved and what is new against this run.")
    ] = None,
    subject: Annotated[str, typer.Option(help="What may differ from the baseline.")] = "engine",
    index: Annotated[
        Path | None,
        typer.Option(metavar="RUNS_DIR", help="A dashboard over all runs in it instead: RUNS_DIR/index.html."),
    ] = None,
    as_json: Json = False,
) -> ExitCode:
    """Render a run as one HTML page that works from disk. Its verdicts do not change the exit code."""
    if index is not None:
        if run is not None or out is not None or baseline is not None:
            raise ValueError("--index writes into the folder it names; it goes with no run, --out or --baseline")
        return _dashboard(index, as_json)
    from parity.cli.summary import summary
    from reports.render import write_report

    directory = run_directory(run)
    found = summary(directory)
    page = write_report(directory, out, baseline, subject)
    if as_json:
        say_json({**found.to_json(), "report": str(page)})
    else:
        say(found.sentence, str(page))
    return ExitCode.INCOMPLETE if found.lost else ExitCode.PARITY


def _dashboard(root: Path, as_json: bool) -> ExitCode:
    """A run that cannot be read is named on the page too, and makes the dashboard incomplete."""
    from reports.index import index_json, write_index

    made = write_index(root)
    for sentence in made.skipped:
        warn(sentence)
    if as_json:
        say(index_json(made))
    else:
        say(
            f"{len(made.nights)} nights, {len(made.read)} of them read now; the last: {made.nights[-1].sentence}",
            str(made.path),
        )
    return ExitCode.INCOMPLETE if made.skipped else ExitCode.PARITY


def written(directory: Path) -> Path:
    """The page of a run directory, beside its records: for the pytest plugin, which imports no renderer itself."""
    from reports.render import write_report

    return write_report(directory)
