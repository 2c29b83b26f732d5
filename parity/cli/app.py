"""The commands by name, with their examples; main() is what the shell starts."""

from __future__ import annotations

from typing import Annotated

import typer

import parity
from parity.cli import (
    accept,
    diff,
    doctor,
    explain,
    fingerprint,
    gate,
    history,
    list_names,
    prove,
    replay,
    report,
    run,
    shrink,
)
from parity.cli.told import told

app = typer.Typer(
    name="parity",
    help="Compare ways of quantizing a model bit for bit, stage by stage.",
    epilog="""\b
Examples:
  parity run                     sweep the matrix and write a page
  parity list axes               what can be selected
  parity replay dtype:bf16       one cell, every stage
  parity COMMAND --help          examples of each command
""",
    add_completion=False,
    no_args_is_help=True,
    rich_markup_mode=None,  # plain text: a sentence is not broken into the lines of a box
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(parity.__version__)
        raise typer.Exit


@app.callback()
def root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    pass


for _name, _command, _examples in (
    ("run", run.sweep, run.EXAMPLES),
    ("report", report.render, report.EXAMPLES),
    ("diff", diff.diff_runs, diff.EXAMPLES),
    ("gate", gate.gate_runs, gate.EXAMPLES),
    ("accept", accept.accept_new, accept.EXAMPLES),
    ("replay", replay.replay_cell, replay.EXAMPLES),
    ("explain", explain.explain_cell, explain.EXAMPLES),
    ("shrink", shrink.shrink_cell, shrink.EXAMPLES),
    ("fingerprint", fingerprint.fingerprint_backend, fingerprint.EXAMPLES),
    ("history", history.detect_bugs, history.EXAMPLES),
    ("prove", prove.prove_rules, prove.EXAMPLES),
    ("list", list_names.list_names, list_names.EXAMPLES),
    ("doctor", doctor.check, doctor.EXAMPLES),
):
    app.command(_name, epilog=_examples)(told(_command))


def main() -> None:
    """Run the command of sys.argv and exit with its code."""
    app(prog_name="parity")
