"""`parity doctor`: what this machine can run, what it cannot, and why."""

from __future__ import annotations

from parity.cli.arguments import Json
from parity.cli.terminal import say, say_json, table
from parity.exit_codes import ExitCode

EXAMPLES = """\b
Examples:
  parity doctor
  parity doctor --json
"""


def check(as_json: Json = False) -> ExitCode:
    """Look at versions, devices, arithmetic and backends. Exits 2 when something has to be mended first."""
    from parity.doctor import doctor

    found = doctor()
    if as_json:
        say_json(found.to_json())
    else:
        say(*table([(fact.topic, fact.name, fact.value) for fact in found.facts]), "")
        say(
            *(f"Problem: {problem}" for problem in found.problems),
            *(["Nothing has to be mended."] if found.sound else []),
        )
    return ExitCode.PARITY if found.sound else ExitCode.USAGE
