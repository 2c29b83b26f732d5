"""Which lanes are compared on a cell, and what each pair promises: declared pairs, never all of them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cache, lru_cache
from typing import Final

from parity.axes import BURN_PRESETS, OPERATIONS, PRESET
from parity.backends.aten_int4_cells import ATEN_INT4, TINYGEMM_CPU, multiplies
from parity.backends.names import EPOCHS
from parity.backends.torchao_cells import LEGACY, TORCHAO, TORCHAO_CUDA, hard_coded, inexpressible
from parity.backends.torchao_parq_cells import PARQ, parq_flows, uses_machine_eps
from parity.burn_cells import HEAD, MERGE, compared, takes_part
from parity.cells import Cell, cell_at, concrete, illegal_reason
from parity.epoch_cells import EPOCH_CELLS
from parity.lanes import Flow, Lane

EXACT = "exact"
# Layers that are exported and fused for comparison, in bfloat16: each costs two exported graphs, a third of a second to
# make, and two or four compiled ones, two seconds each.
GRAPHED: Final = (
    ("linear", "int8_dynamic_intx_weight"),
    ("linear", "int4_weight_only"),
    ("embedding", "int8_dynamic_intx_weight"),
)
_EPOCH_CELLS = frozenset(EPOCH_CELLS)


@dataclass(frozen=True, slots=True, kw_only=True)
class Edge:
    """A declared pair of lanes with its contract; `a` is the one whose values are shown first."""

    a: Lane
    b: Lane
    contract: str = EXACT
    why: str

    def __str__(self) -> str:
        return f"{self.a}~{self.b}"


def triangle(
    backend: str, *, device: str = "cpu", flows: tuple[Flow, ...] = tuple(Flow), rules: str | None = None
) -> tuple[Edge, ...]:
    """Every pair of a backend's own flows: they are one computation that stops and resumes in different places."""
    lanes = [Lane(backend=backend, flow=flow, device=device, rules=rules) for flow in flows]
    why = f"{backend}'s flows carry out one scheme"
    return tuple(Edge(a=a, b=b, why=why) for i, a in enumerate(lanes) for b in lanes[i + 1 :])


def across_devices(backend: str, device: str, flows: tuple[Flow, ...] = tuple(Flow)) -> tuple[Edge, ...]:
    """Each flow on cpu against the same flow on another device."""
    lanes = [Lane(backend=backend, flow=flow) for flow in flows]
    return tuple(Edge(a=lane, b=lane.on(device), why="one flow gives the same bits on every device") for lane in lanes)


def across_modes(backend: str, device: str, mode: str, flows: tuple[Flow, ...] = tuple(Flow)) -> tuple[Edge, ...]:
    """Each flow on a device, eager, against the same flow there in another mode."""
    lanes = [Lane(backend=backend, flow=flow, device=device) for flow in flows]
    why = f"{mode} code gives the bits of eager code"
    return tuple(Edge(a=lane, b=replace(lane, mode=mode), why=why) for lane in lanes)


def across_mechanisms() -> tuple[Edge, ...]:
    """Both ways to prepare a model, before and after convert."""
    return tuple(
        Edge(
            a=Lane(backend="engine", flow=flow),
            b=Lane(backend="engine_subclass", flow=flow),
            why="module swap and tensor subclass are one arithmetic",
        )
        for flow in (Flow.QAT_PREPARE, Flow.QAT_CONVERT)
    )


def against_engine(backend: str, rules: str, flows: tuple[Flow, ...], *, device: str = "cpu") -> tuple[Edge, ...]:
    """Each flow of a foreign backend against the engine under the rules that backend is declared to follow there."""
    return tuple(
        Edge(
            a=Lane(backend=backend, flow=flow, device=device),
            b=Lane(backend="engine", rules=rules, flow=flow, device=device),
            why=f"{backend} is declared to follow the rule set {rules}",
        )
        for flow in flows
    )


@cache
def with_kernel() -> tuple[Edge, ...]:
    """ATen's int4 product against the layer that trains for it, and against that layer quantized."""
    return tuple(
        Edge(
            a=Lane(backend=ATEN_INT4, flow=Flow.PTQ),
            b=Lane(backend="engine", rules=TINYGEMM_CPU, flow=flow),
            why="the rule set states what the kernel computes, so that QAT can train for it",
        )
        for flow in (Flow.PTQ, Flow.QAT_PREPARE)
    )


def of_parq(cell: Cell) -> tuple[Edge, ...]:
    """torchao's PARQ among its own flows, and against the engine where both take the same eps."""
    flows = parq_flows(cell)
    same = tuple(flow for flow in flows if flow is Flow.QAT_PREPARE or uses_machine_eps(cell))
    return triangle(PARQ, flows=flows) + against_engine(PARQ, "parq", same)


def of_torchao_on_cuda(cell: Cell) -> tuple[Edge, ...]:
    """torchao on CUDA against itself on CPU, and against the engine under the rules that it follows on CUDA.

    Where nothing is trained or differentiated: there each device's own matrix product is in every weight.
    """
    if cell["steps"] != "0" or cell["grad"] == "yes":
        return ()
    flows = _expressed(cell, TORCHAO)
    return across_devices(TORCHAO, "cuda", flows) + against_engine(TORCHAO, TORCHAO_CUDA, flows, device="cuda")


@cache
def of_epochs() -> tuple[Edge, ...]:
    """Prepare against convert in every epoch of torchao: what a pull request mended parts before it and not after."""
    return tuple(edge for name in EPOCHS for edge in triangle(name, flows=(Flow.QAT_PREPARE, Flow.QAT_CONVERT)))


def of_burn(cell: Cell) -> tuple[Edge, ...]:
    """PTQ and prepare by each of Burn's rule sets, and what two of its epochs and its backends make of one scheme.

    Burn does not train: what convert stores is compared under the engine's rules alone.
    """
    both = (Flow.PTQ, Flow.QAT_PREPARE)
    flows = [triangle("engine", rules=rules, flows=both) for rules in (MERGE, *HEAD) if takes_part(cell, rules)]
    between = (
        Edge(
            a=Lane(backend="engine", rules=a, flow=Flow.PTQ),
            b=Lane(backend="engine", rules=b, flow=Flow.PTQ),
            why="two epochs or backends of Burn are to agree on one scheme",
        )
        for a, b in compared(cell)
    )
    return (*(edge for edges in flows for edge in edges), *between)


@lru_cache(maxsize=65536)
def edges_of(cell: Cell) -> tuple[Edge, ...]:
    """The edges judged on a cell. An illegal cell is offered to the engine alone: every flow must refuse it."""
    device = cell["device"]
    edges = triangle("engine", device=device)
    if device != "cpu":
        edges += across_devices("engine", device)
        if device == "cuda" and illegal_reason(cell) is None:
            edges += across_modes("engine", device, "triton") + of_torchao_on_cuda(cell)
        return edges
    if illegal_reason(cell) is not None:
        return edges
    if cell["op"] in OPERATIONS or cell["preset"] in BURN_PRESETS or cell["accumulate"] != PRESET:
        return edges + of_burn(cell)
    if cell["grad"] == "yes" or _plain_half(cell):
        edges += across_mechanisms() if concrete(cell)["act"] != "static" else ()
    if _plain_half(cell) and (cell["op"], cell["preset"]) in GRAPHED:
        edges += across_modes("engine", device, "exported")
        edges += across_modes("engine", device, "fused", (Flow.QAT_PREPARE,))  # which fuses both operands
    flows = _expressed(cell, TORCHAO)
    legacy = _expressed(cell, LEGACY)
    edges += triangle(TORCHAO, flows=flows) + against_engine(TORCHAO, "torchao", flows)
    edges += triangle(LEGACY, flows=legacy)
    if not hard_coded(cell):
        edges += against_engine(LEGACY, "torchao", legacy)
    if Flow.QAT_CONVERT in legacy and Flow.PTQ in flows:
        edges += (
            Edge(
                a=Lane(backend=TORCHAO, flow=Flow.PTQ),
                b=Lane(backend=LEGACY, flow=Flow.QAT_CONVERT),
                why="both are torchao's 8da4w: PTQ is to give what was trained for",
            ),
        )
    edges += of_parq(cell)
    if multiplies(cell):
        edges += with_kernel()
    return edges + (of_epochs() if cell in _EPOCH_CELLS else ())


def _plain_half(cell: Cell) -> bool:
    """Whether a bfloat16 cell leaves everything but its preset, its layer and its inputs at the default."""
    named = ("preset", "op", "family", "case")
    return cell == cell_at({"dtype": "bf16", **{axis: cell[axis] for axis in named}})


def _expressed(cell: Cell, backend: str) -> tuple[Flow, ...]:
    """The flows in which a torchao backend has a counterpart of the cell."""
    return tuple(flow for flow in Flow if inexpressible(cell, backend, flow) is None)
