"""`parity diff RUN_A RUN_B`: whose bits moved between two runs, lane by lane and stage by stage."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from parity.cli.arguments import Json, run_directory
from parity.cli.terminal import say, say_json, warn
from parity.exit_codes import ExitCode, combine

EXAMPLES = """\b
Examples:
  parity diff runs/before runs/after
  parity diff runs/before
  parity diff runs/laptop runs/server --unlike-settings
"""


def diff_runs(
    run_a: Annotated[Path, typer.Argument(metavar="RUN_A", help="The run before.")],
    run_b: Annotated[
        Path | None, typer.Argument(metavar="[RUN_B]", help="The run after; the newest under ./runs when left out.")
    ] = None,
    unlike_settings: Annotated[
        bool, typer.Option("--unlike-settings", help="Compare although the runs were made in different settings.")
    ] = False,
    as_json: Json = False,
) -> ExitCode:
    """Compare two runs by digests. Exits 1 when bits moved, 3 when nothing could be compared or records are lost."""
    from parity.run_diff import UnlikeSettingsError, run_diff
    from parity.store import load_run

    before, after = load_run(run_a), load_run(run_directory(run_b))
    environments = (before.manifest.environment, after.manifest.environment)
    try:
        found = run_diff(before.lanes, after.lanes, environments=environments, unlike_settings=unlike_settings)
    except UnlikeSettingsError as error:
        raise ValueError(f"{error}. --unlike-settings compares them all the same.") from error
    lost = (*before.lost, *after.lost)
    for sentence in lost:
        warn(sentence)
    if as_json:
        say_json({"run_a": str(before.directory), "run_b": str(after.directory), **found.to_json(), "lost": lost})
    else:
        say(found.summary())
    moved = ExitCode.DIVERGED if found.moved else ExitCode.PARITY
    return combine((moved, ExitCode.INCOMPLETE if lost or not found.common else ExitCode.PARITY))
