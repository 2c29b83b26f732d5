"""`parity history`: bugs of the past, planted one by one, and which kinds of inputs show them."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from parity.cli.arguments import Json
from parity.cli.terminal import say, say_json, table
from parity.exit_codes import ExitCode

if TYPE_CHECKING:
    from parity.detection import Detection, Tried

EXAMPLES = """\b
Examples:
  parity history
  parity history C6
  parity history burn
  parity history --run runs/20260101-120000-premerge
"""


def detect_bugs(
    names: Annotated[
        list[str] | None,
        typer.Argument(metavar="[NAME]...", help="How their names begin: C6, ao-10; all when left out."),
    ] = None,
    run: Annotated[
        Path | None, typer.Option(metavar="RUN", help="Also write the table into this run, for its page.")
    ] = None,
    as_json: Json = False,
) -> ExitCode:
    """Run pairs of lanes that differ as a bug of the past had it, on random and on directed inputs.

    Exits 1 where directed inputs do not lead to the right first stage and cause.
    """
    import torch

    from parity.detection import write_detections
    from parity.history import HISTORY, NOT_TRIED
    from parity.history.detect import detections

    torch.set_num_threads(1)  # as in a run's worker
    chosen = [case for case in HISTORY if not names or case.name.startswith(tuple(names))]
    if not chosen:
        raise ValueError(f"no bug's name begins with {' or '.join(names or ())}; they begin with C1 to C8, ao-, burn-8")
    found = tuple(detections(chosen))
    written = None if run is None else write_detections(run, found)
    if as_json:
        say_json({"rows": [asdict(row) for row in found], "not_tried": dict(NOT_TRIED)})
    else:
        say(*table([_row(each) for each in found], ("bug", "random fp32", "random 16-bit", "directed", "told")))
        say(*(f"{name} is not tried: {reason}" for name, reason in NOT_TRIED.items() if not names))
        say(*([] if written is None else [str(written)]))
    return ExitCode.PARITY if all(each.as_known for each in found) else ExitCode.DIVERGED


def _row(found: Detection) -> tuple[str, ...]:
    kinds = (found.random_fp32, found.random_16_bit, found.directed)
    return found.case, *map(_counted, kinds), found.sentence


def _counted(kind: Tried) -> str:
    return f"{kind.found} of {kind.tried}"
