"""Texts of the command line as values: AXIS=V1,V2, I/N, a run directory that may be left out."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from parity.cells import cell_at

if TYPE_CHECKING:
    from parity.weights import Source

RUNS: Final = Path("runs")

Json = Annotated[bool, typer.Option("--json", help="Print one JSON object instead of text.")]
Tier = Annotated[str, typer.Option(help="premerge or nightly.")]
Select = Annotated[
    list[str] | None,
    typer.Option("--select", metavar="AXIS=V1,V2", help="Only cells with one of these values; may be repeated."),
]
Lanes = Annotated[
    list[str] | None,
    typer.Option("--lanes", metavar="LANE,LANE", help="Only edges between these lanes; may be repeated."),
]

Weights = Annotated[
    Path | None,
    typer.Option("--weights", metavar="F.safetensors", help="The layers of this file, instead of made weights."),
]
Activations = Annotated[
    Path | None,
    typer.Option("--activations", metavar="F.safetensors", help="Inputs of these layers, from parity.capture."),
]


def selection(texts: Sequence[str] | None) -> dict[str, tuple[str, ...]]:
    """{"dtype": ("bf16", "fp16")} of ["dtype=bf16", "dtype=fp16"] or ["dtype=bf16,fp16"]. Raises ValueError.

    Unknown axes and values are among what raises.
    """
    chosen: dict[str, tuple[str, ...]] = {}
    for text in texts or ():
        axis, equals, values = text.partition("=")
        if not equals or not values:
            raise ValueError(f"--select {text!r} is not AXIS=V1,V2; for example --select dtype=bf16,fp16")
        for value in values.split(","):
            cell_at({axis: value})  # a wrong name is told before torch is imported
            chosen[axis] = (*chosen.get(axis, ()), value)
    return chosen


def lane_texts(texts: Sequence[str] | None) -> tuple[str, ...] | None:
    """Every lane of ["engine:ptq,engine:qat_convert", "torchao:ptq"]; None of None."""
    if texts is None:
        return None
    return tuple(lane.strip() for text in texts for lane in text.split(","))


def shard_of(text: str | None) -> tuple[int, int] | None:
    """(2, 4) of "2/4". Raises ValueError."""
    if text is None:
        return None
    i, _, n = text.partition("/")
    if not (i.isdecimal() and n.isdecimal()):
        raise ValueError(f"--shard {text!r} is not I/N; for example --shard 1/4, the first of four parts")
    return int(i), int(n)


def source_of(weights: Path | None, activations: Path | None) -> Source | None:
    """Where the cells of layers get their tensors. Raises ValueError for inputs without layers."""
    if weights is None:
        if activations is not None:
            raise ValueError("--activations holds inputs of layers; name the file of the layers with --weights")
        return None
    from parity.weights import Source

    return Source(weights=weights, activations=activations)


def run_directory(given: Path | None) -> Path:
    """The run that was named, or the newest one under ./runs. Raises StoreError when there is none."""
    if given is not None:
        return given
    from parity.store import newest_run

    return newest_run(RUNS)
