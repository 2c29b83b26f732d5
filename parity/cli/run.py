"""`parity run`: sweep a tier of the matrix, judge every edge, end with a verdict and a page."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from parity.cli.arguments import (
    RUNS,
    Activations,
    Json,
    Lanes,
    Select,
    Tier,
    Weights,
    lane_texts,
    run_directory,
    selection,
    shard_of,
    source_of,
)
from parity.cli.terminal import progress_bar, say, say_json, table, warn
from parity.exit_codes import ExitCode, combine
from parity.ledger import LEDGER_FILE
from parity.manifest import FILE_NAME
from parity.whole_file import StoreError

if TYPE_CHECKING:
    from parity.cells import Cell
    from parity.matrix import Plan
    from parity.run import RunResult

EXAMPLES = """\b
Examples:
  parity run
  parity run --plan
  parity run --select dtype=bf16,fp16 --select preset=int4_weight_only
  parity run --lanes engine:ptq,engine:qat_convert --workers 2
  parity run --tier nightly --shard 7/2000 --out runs/nightly-7
  parity run --weights model.safetensors --activations inputs.safetensors
  parity run --inputs-of runs/main --out runs/pull-request
"""


def sweep(
    tier: Tier = "premerge",
    select: Select = None,
    lanes: Lanes = None,
    weights: Weights = None,
    activations: Activations = None,
    out: Annotated[
        Path | None, typer.Option(metavar="DIR", help="The run directory; default runs/<time>-<tier>.")
    ] = None,
    budget: Annotated[
        float | None, typer.Option(min=0, metavar="SECONDS", help="After so long, leave out what may be left out.")
    ] = None,
    plan: Annotated[bool, typer.Option("--plan", help="Say in numbers what would run, and run nothing.")] = False,
    executor: Annotated[str, typer.Option(help="processes, or inline: everything in this one.")] = "processes",
    workers: Annotated[int | None, typer.Option(min=1, help="Worker processes; default: one a core.")] = None,
    shard: Annotated[str | None, typer.Option(metavar="I/N", help="The I-th of N parts of the plan.")] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with the run in --out, or the newest, where it stopped.")
    ] = False,
    require_device: Annotated[
        str | None, typer.Option(metavar="DEVICE", help="Exit 3 when this device is not here, instead of unrun pairs.")
    ] = None,
    ledger: Annotated[
        Path | None, typer.Option(metavar="F.toml", help="Known divergences; default: the ledger of this checkout.")
    ] = None,
    cells: Annotated[
        Path | None, typer.Option(metavar="FILE", help="These cells instead of a tier: an id in each line.")
    ] = None,
    inputs_of: Annotated[
        Path | None, typer.Option(metavar="RUN", help="Lay ties where that run laid them, whatever is chosen now.")
    ] = None,
    as_json: Json = False,
) -> ExitCode:
    """Run every planned cell through its lanes, compare them bit for bit, and write a run directory with a page.

    Exits 0 for parity, 1 for a new divergence, 2 for wrong usage, 3 for an incomplete run, 4 for a stale ledger,
    130 after Ctrl-C.
    """
    chosen, between, part = selection(select), lane_texts(lanes), shard_of(shard)
    from parity.run import MissingDeviceError, plan_of, run

    source = source_of(weights, activations)
    if plan or between is not None:
        planned, _ = plan_of(tier, chosen, part, source)
        pairs = _pairs(planned.cells, between)
        if plan:
            return _told_plan(planned, pairs, as_json)
    fresh = RUNS / f"{datetime.now(UTC):%Y%m%d-%H%M%S}-{tier if source is None else 'weights'}"
    directory = out or (run_directory(None) if resume else fresh)
    try:
        with progress_bar(quiet=as_json) as progress:
            result = run(
                tier,
                select=chosen,
                lanes=between,
                out=directory,
                budget=budget,
                executor=executor,
                workers=workers,
                shard=part,
                resume=resume,
                require_device=require_device,
                weights=weights,
                activations=activations,
                cells=None if cells is None else cells.read_text(encoding="utf-8").split("\n")[:-1],
                inputs_of=inputs_of,
                ledger=ledger or LEDGER_FILE,
                argv=tuple(sys.argv[1:]),
                progress=progress,
            )
    except MissingDeviceError as error:
        warn(str(error))
        return ExitCode.INCOMPLETE
    except KeyboardInterrupt:
        warn(_told_interruption(directory, named=out is not None))
        return ExitCode.INTERRUPTED
    return _told_result(result, as_json)


def _told_interruption(directory: Path, *, named: bool) -> str:
    """Where the finished records are, and the command that goes on."""
    if not (directory / FILE_NAME).exists():
        return "stopped by Ctrl-C, before anything was written."
    again = [*(argument for argument in sys.argv[1:] if argument != "--resume"), "--resume"]
    command = shlex.join(["parity", *again, *([] if named else ["--out", str(directory)])])
    return f"stopped by Ctrl-C. What was finished can be read in {directory}; to go on: {command}"


def _told_result(result: RunResult, as_json: bool) -> ExitCode:
    """Print how the run ended, and write its page; a page that cannot be written makes the run incomplete."""
    from parity.cli.summary import summary
    from reports.render import write_report

    found, code, page = summary(result.directory), result.code, ""
    try:
        page = str(write_report(result.directory))
    except StoreError as error:
        warn(str(error))
        code = combine((code, ExitCode.INCOMPLETE))
    if as_json:
        say_json({**found.to_json(), "sentences": result.sentences, "code": int(code), "report": page})
    else:
        say(*found.lines(), *result.sentences, *([page] if page else []))
    return code


def _pairs(cells: Sequence[Cell], lanes: tuple[str, ...] | None) -> dict[str, int]:
    """How many pairs of each edge these cells have. Raises ValueError when the lanes that were named share none."""
    from parity.run import EvaluateChunk, pairs_of

    pairs = pairs_of(cells, EvaluateChunk.between(lanes))
    if not pairs:
        raise ValueError(
            f"no declared edge joins two of the lanes {', '.join(lanes or ())} in any planned cell; "
            "`parity list edges` shows the edges there are"
        )
    return pairs


def _told_plan(planned: Plan, pairs: Mapping[str, int], as_json: bool) -> ExitCode:
    from parity.matrix import chunks, describe

    if as_json:
        say_json(
            {
                "tier": planned.tier,
                "cells": len(planned.cells),
                "protected": planned.protected,
                "total": planned.total,
                "chunks": len(chunks(planned.cells)),
                "parts": [{"meaning": part.meaning, "cells": part.cells} for part in planned.stretches],
                "edges": dict(pairs),
                "cut": planned.cut,
            }
        )
    else:
        rows = [(edge, f"{n:,}") for edge, n in pairs.items()]
        say(*describe(planned), "", *table(rows, ("edge", "pairs")))
    return ExitCode.PARITY
