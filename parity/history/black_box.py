"""A lane that carries out a scheme of its own, whatever scheme it is asked for, and can spoil what it computed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

from torch import Tensor, nn

from parity.backends.engine import EngineBackend
from parity.lanes import Flow, Lane
from parity.trace import Trace
from quant import QuantScheme

Spoil = Callable[[Tensor], Tensor]


def spoiled(trace: Trace, by: Mapping[str, Spoil]) -> Trace:
    """The trace with the tensors of these stages spoiled."""
    return Trace(replace(stage, tensor=by[stage.name](stage.tensor)) if stage.name in by else stage for stage in trace)


@dataclass(slots=True, kw_only=True, eq=False)  # a backend, whose protocol has plain attributes
class CarriedOut:
    """The engine under `scheme`, by default its PTQ; spoiled = what becomes of the tensor of a stage."""

    scheme: QuantScheme
    spoiled: Mapping[str, Spoil] = field(default_factory=dict)
    name: str = "carried_out"
    flows: tuple[Flow, ...] = (Flow.PTQ,)

    def unrun(self, lane: Lane) -> str | None:
        return None

    def trace(
        self,
        lane: Lane,
        layer: nn.Module,
        x: Tensor,
        scheme: QuantScheme,
        steps: int = 0,
        *,
        gradients: bool = False,
    ) -> Trace:
        own = replace(lane, backend="engine")
        return spoiled(EngineBackend().trace(own, layer, x, self.scheme, steps, gradients=gradients), self.spoiled)

    def trained(self, lane: Lane, layer: nn.Module, x: Tensor, scheme: QuantScheme, steps: int) -> nn.Module:
        """What the engine trains the layer to under the scheme that is carried out."""
        return EngineBackend().trained(lane, layer, x, self.scheme, steps)
