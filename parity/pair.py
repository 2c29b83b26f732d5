"""Two lanes on the cases of one configuration, with every tensor at hand: what an explanation is made from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from parity.diff import diff_stage
from parity.lane_run import LaneRun
from parity.lanes import Lane
from parity.record import STAGES, StageDiff
from parity.trace import Trace
from quant import QuantScheme


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Case:
    """What both lanes were fed: weight [N, K], bias [N] or None, x [..., K] (int64 indices for an embedding)."""

    weight: Tensor
    bias: Tensor | None
    x: Tensor

    @classmethod
    def of(cls, layer: nn.Module, x: Tensor) -> Case:
        """What an nn.Linear or nn.Embedding and its input hold."""
        parameters = {name: value.detach() for name, value in layer.named_parameters()}
        return cls(weight=parameters["weight"], bias=parameters.get("bias"), x=x)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Side:
    """One lane, the scheme that it is declared to carry out, and its trace of every case."""

    lane: Lane
    scheme: QuantScheme
    traces: tuple[Trace, ...]

    def stacked(self, stage: str) -> Tensor:
        """One stage of every case, [cases, ...], on cpu."""
        return torch.stack([trace[stage].tensor.detach().cpu() for trace in self.traces])


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Pair:
    """Both lanes on the same cases; the first case is the one that is to be explained.

    Raises ValueError when a lane has no trace of some case.
    """

    cases: Sequence[Case]
    a: Side
    b: Side

    def __post_init__(self) -> None:
        for side in (self.a, self.b):
            if len(side.traces) != len(self.cases):
                raise ValueError(f"{side.lane} has {len(side.traces)} traces of {len(self.cases)} cases")

    @classmethod
    def of_runs(
        cls,
        cases: Sequence[Case],
        runs: Sequence[tuple[LaneRun, LaneRun]],
        lanes: tuple[Lane, Lane],
        schemes: tuple[QuantScheme, QuantScheme],
    ) -> Pair:
        """What both lanes did on each case; a case on which one did not run is left out.

        Raises ValueError where that is the first.
        """
        for run in runs[0]:
            if run.trace is None:
                raise ValueError(f"{run.record.lane} did not run: {run.record.message or run.record.outcome}")
        kept = [
            (case, a.trace, b.trace)
            for case, (a, b) in zip(cases, runs, strict=True)
            if a.trace is not None and b.trace is not None
        ]
        return cls(
            cases=[case for case, _, _ in kept],
            a=Side(lane=lanes[0], scheme=schemes[0], traces=tuple(a for _, a, _ in kept)),
            b=Side(lane=lanes[1], scheme=schemes[1], traces=tuple(b for _, _, b in kept)),
        )

    @property
    def swapped(self) -> Pair:
        """The same pair seen from the other lane."""
        return Pair(cases=self.cases, a=self.b, b=self.a)

    @property
    def stages(self) -> tuple[str, ...]:
        """The stages that both lanes have in every case, in order."""
        held = [set(trace.names) for side in (self.a, self.b) for trace in side.traces]
        return tuple(name for name in STAGES if all(name in names for names in held))

    def operand_stages(self, operand: str) -> tuple[str, ...]:
        """Those of one operand, "weight" or "input"."""
        return tuple(name for name in self.stages if name.startswith(f"{operand}."))

    def diff(self, stage: str) -> StageDiff:
        """How a stage differs over all cases."""
        return diff_stage(stage, self.a.stacked(stage), self.b.stacked(stage))

    @property
    def first_stage(self) -> str | None:
        """The first stage at which the lanes part in the case to be explained; None where they do not."""
        a, b = self.a.traces[0], self.b.traces[0]
        diffs = (diff_stage(name, a[name].tensor, b[name].tensor) for name in self.stages)
        return next((diff.stage for diff in diffs if not diff.identical), None)
