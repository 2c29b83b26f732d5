"""Two lanes on the cases of one configuration, with every tensor at hand: what an explanation is made from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from parity.diff import diff_stage
from parity.lane_run import LaneRun
from parity.lanes import Lane
from parity.operated import Operated
from parity.record import STAGES, StageDiff
from parity.trace import Trace
from quant import QuantScheme


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Case:
    """What a lane quantized: a float nn.Linear or nn.Embedding, and x [..., K] (int64 indices for an embedding)."""

    layer: nn.Module
    x: Tensor

    @property
    def weight(self) -> Tensor:
        """[N, K]."""
        return self._parameters["weight"]

    @property
    def bias(self) -> Tensor | None:
        """[N], or None."""
        return self._parameters.get("bias")

    @property
    def _parameters(self) -> dict[str, Tensor]:
        return {name: value.detach() for name, value in self.layer.named_parameters()}


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Side:
    """One lane, the scheme that it is declared to carry out, and its trace of every case.

    cases = what the traces were made of: what the lane was fed, or that with the parameters that it trained.
    training = the scheme under which it is declared to train, which need not be the one that it carries out.
    operated = the operation of quantized tensors that stands in place of a layer.
    """

    lane: Lane
    scheme: QuantScheme
    training: QuantScheme
    operated: Operated | None = None
    traces: tuple[Trace, ...] = ()
    cases: tuple[Case, ...] = ()

    def stacked(self, stage: str) -> Tensor:
        """One stage of every case, [cases, ...], on cpu."""
        return torch.stack([trace[stage].tensor.detach().cpu() for trace in self.traces])


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Pair:
    """Both lanes on the same cases; the first case is the one that is to be explained.

    steps = how often each lane trained its parameters before. Raises ValueError when a lane has no trace of some case.
    """

    cases: Sequence[Case]
    a: Side
    b: Side
    steps: int = 0

    def __post_init__(self) -> None:
        for side in (self.a, self.b):
            if len(side.traces) != len(self.cases) or len(side.cases) != len(self.cases):
                raise ValueError(f"{side.lane} has {len(side.traces)} traces of {len(self.cases)} cases")

    @classmethod
    def of_runs(cls, cases: Sequence[Case], runs: Sequence[tuple[LaneRun, LaneRun]], sides: tuple[Side, Side]) -> Pair:
        """What both lanes, given as sides without traces, did on each case, but for cases on which one did not run.

        Raises ValueError where that is the first.
        """
        for run in runs[0]:
            if run.trace is None:
                raise ValueError(f"{run.record.lane} did not run: {run.record.message or run.record.outcome}")
        kept = [i for i, (a, b) in enumerate(runs) if a.trace is not None and b.trace is not None]
        fed = tuple(cases[i] for i in kept)
        traces = [tuple(trace for i in kept if (trace := runs[i][side].trace) is not None) for side in (0, 1)]
        a, b = (replace(side, traces=own, cases=fed) for side, own in zip(sides, traces, strict=True))
        return cls(cases=fed, a=a, b=b)

    @property
    def swapped(self) -> Pair:
        """The same pair seen from the other lane."""
        return replace(self, a=self.b, b=self.a)

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
