"""`parity gate`: whether a change moved bits, and what became of every divergence between lanes."""

from __future__ import annotations

import os
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from parity.cli.arguments import Json, Lanes, Select, Tier, lane_texts, selection
from parity.cli.terminal import say, say_json, warn
from parity.exit_codes import ExitCode
from parity.whole_file import write_whole

if TYPE_CHECKING:
    from parity.gate.gate import Gate

EXAMPLES = """\b
Examples:
  parity gate --baseline runs/main --candidate runs/pull-request
  parity gate --against origin/main --markdown gate.md --junit gate.xml
  parity gate --against HEAD~1 --select dtype=bf16 --lanes engine:ptq,engine:qat_convert
  parity gate --subject torchao --baseline runs/torchao-0.17 --candidate runs/torchao-0.18
"""


def gate_runs(
    baseline: Annotated[Path | None, typer.Option(metavar="RUN", help="The run before.")] = None,
    candidate: Annotated[Path | None, typer.Option(metavar="RUN", help="The run after.")] = None,
    against: Annotated[
        str | None, typer.Option(metavar="REV", help="A git revision: it and this checkout are run here, and compared.")
    ] = None,
    subject: Annotated[
        str, typer.Option(help="What may differ between the runs; anything else is refused.")
    ] = "engine",
    tier: Tier = "premerge",
    select: Select = None,
    lanes: Lanes = None,
    workers: Annotated[int | None, typer.Option(min=1, help="Worker processes; default: one a core.")] = None,
    out: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Where --against writes its two runs; default runs/<time>-gate.")
    ] = None,
    markdown: Annotated[Path | None, typer.Option(metavar="F.md", help="Write a comment of at most 60 lines.")] = None,
    junit: Annotated[Path | None, typer.Option(metavar="F.xml", help="Write JUnit XML.")] = None,
    annotate: Annotated[
        bool | None, typer.Option("--annotate/--no-annotate", help="GitHub annotations; default: under GitHub Actions.")
    ] = None,
    as_json: Json = False,
) -> ExitCode:
    """Hold a candidate run against a baseline: moved bits first, then new, worse and fixed divergences.

    Exits 0 when no bit moved, 1 when one did or a divergence is new, 2 when the runs cannot be compared, 3 when
    something planned was not seen, 4 when the ledger must shrink.
    """
    found = _found(baseline, candidate, against, subject, (tier, select, lanes, workers, out))
    if markdown is not None:
        from parity.gate.markdown import markdown as told

        write_whole(markdown, told(found).encode())
    if junit is not None:
        from parity.gate.junit import junit as told_to_ci

        write_whole(junit, told_to_ci(found).encode())
    if as_json:
        say_json(found.to_json())
    else:
        from parity.cli.gate_text import text

        say(*text(found))
    if os.environ.get("GITHUB_ACTIONS") == "true" if annotate is None else annotate:
        from parity.gate.github import workflow_commands

        # Beside JSON they would make two documents of stdout, and GitHub reads both streams.
        print(*workflow_commands(found), sep="\n", file=sys.stderr if as_json else sys.stdout)
    return found.code


def _found(
    baseline: Path | None,
    candidate: Path | None,
    against: str | None,
    subject: str,
    plan: tuple[str, list[str] | None, list[str] | None, int | None, Path | None],
) -> Gate:
    """The gate of two runs that are there, or of two that are made now. Raises ValueError for anything in between."""
    tier, select, lanes, workers, out = plan
    today = datetime.now(UTC).date()
    if against is not None:
        if baseline is not None or candidate is not None or subject != "engine":
            raise ValueError("--against runs both revisions of this checkout; it goes with no run and no other subject")
        from parity.gate.revision import gate_against

        return gate_against(
            against,
            tier=tier,
            select=selection(select),
            lanes=lane_texts(lanes),
            workers=workers,
            out=out or Path("runs") / f"{datetime.now(UTC):%Y%m%d-%H%M%S}-gate",
            tell=warn,
        )
    if baseline is None or candidate is None:
        raise ValueError("name two runs with --baseline RUN --candidate RUN, or a revision with --against REV")
    if select or lanes or workers or out:
        raise ValueError("--select, --lanes, --workers and --out say how --against runs; two runs are there already")
    from parity.accepted import read_accepted
    from parity.gate.gate import gate
    from parity.store import load_run

    return gate(load_run(baseline), load_run(candidate), subject=subject, accepted=read_accepted(today=today))
