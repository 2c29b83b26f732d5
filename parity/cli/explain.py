"""`parity explain CELL`: where the lanes of a cell part, and which decisions make one lane's bits the other's."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from parity.cells import parse_cell
from parity.cli.arguments import Activations, Json, Weights, source_of
from parity.cli.terminal import say, say_json
from parity.exit_codes import ExitCode

if TYPE_CHECKING:
    from parity.explanation import Explanation
    from parity.weights import Source

EXAMPLES = """\b
Examples:
  parity explain dtype:bf16,scale:bf16
  parity explain preset:xnnpack_recipe,dtype:fp16 --edge torchao:ptq~engine.torchao:ptq
  parity explain default --edge engine:ptq~engine.torchao:ptq --json
  parity explain dtype:bf16,layer:encoder.0 --weights model.safetensors
"""


def explain_cell(
    cell: Annotated[str, typer.Argument(metavar="CELL", help="The id of a cell: dtype:bf16,scale:fp16, or default.")],
    edge: Annotated[
        str | None,
        typer.Option(metavar="LANE~LANE", help="Any two lanes; without it every declared edge that differs."),
    ] = None,
    weights: Weights = None,
    activations: Activations = None,
    as_json: Json = False,
) -> ExitCode:
    """Say which stage differs first, and which decisions give one lane the other's bits, in every case tried."""
    parse_cell(cell)  # a wrong name is told before torch is imported
    import torch

    torch.set_num_threads(1)  # as in a run's worker
    found = tuple(_explained(cell, edge, source_of(weights, activations)))
    if as_json:
        say_json({"cell": cell, "edges": [{**asdict(each), "sentence": each.sentence} for each in found]})
        return ExitCode.PARITY
    for each in found:
        say(f"{each.edge}", f"  {each.sentence}")
        if each.inherited:
            say(f"  inherited from {each.given}: {', '.join(each.inherited)}")
        if each.right is not None:
            say(f"  as declared: {each.right}")
        if each.script is not None:
            say("", *each.script.splitlines())
    if not found:
        say(f"no two lanes of the cell {cell} differ")
    return ExitCode.PARITY


def _explained(cell: str, edge: str | None, source: Source | None) -> Iterator[Explanation]:
    from parity.explain import differing_edges, explain

    for chosen in differing_edges(cell, source) if edge is None else (edge,):
        yield explain(cell, chosen, source)
