"""Results to stdout, as aligned text or one JSON object; everything else to stderr, and progress only on a terminal."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from parity.recording import Progress


def say(*lines: str) -> None:
    """Lines to stdout. A reader that has gone away (`| head`) ends the output, not the command."""
    try:
        for line in lines:
            print(line)
        sys.stdout.flush()
    except BrokenPipeError:
        # Python flushes stdout once more when it exits, and would complain of the same pipe.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def say_json(facts: Mapping[str, Any]) -> None:
    """One JSON object to stdout."""
    say(json.dumps(facts, indent=1, ensure_ascii=False, default=str))


def warn(sentence: str) -> None:
    """A sentence to stderr, under the command's name."""
    print(f"parity: {sentence}", file=sys.stderr)


def table(rows: Sequence[Sequence[str]], columns: Sequence[str] = ()) -> list[str]:
    """Rows as lines with aligned columns, two spaces apart; numbers stand to the right, and nothing is cut off."""
    every = [list(columns), *map(list, rows)] if columns else [*map(list, rows)]
    if not every:
        return []
    widths = [max(len(row[i]) for row in every) for i in range(len(every[0]))]
    numeric = [bool(rows) and all(_is_number(row[i]) for row in rows) for i in range(len(widths))]
    return [
        "  ".join(
            text.rjust(width) if right else text.ljust(width)
            for text, width, right in zip(row, widths, numeric, strict=True)
        ).rstrip()
        for row in every
    ]


def _is_number(text: str) -> bool:
    return text.replace(",", "").isdigit() or text in ("", "-")


@contextmanager
def progress_bar(*, quiet: bool) -> Iterator[Callable[[Progress], None] | None]:
    """A bar on stderr, fed by what it yields; None where stderr is no terminal, or nothing is to be shown."""
    if quiet or not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bar

    columns = (
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("cells"),
        TimeRemainingColumn(),
        TextColumn("{task.fields[told]}"),
    )
    with Bar(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("run", total=None, told="starting")

        def show(progress: Progress) -> None:
            given = progress.verdicts
            told = ", ".join(f"{given[verdict]:,} {verdict}" for verdict in given if given[verdict])
            bar.update(task, completed=progress.done_cells, total=progress.planned_cells, told=told)

        yield show
