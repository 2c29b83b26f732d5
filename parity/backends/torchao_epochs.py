"""torchao as it was: each epoch a backend, computed by the engine's one path with that epoch's declarations a flow."""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import Final

from torch import Tensor, nn

from kernels.availability import missing
from parity.backends.engine import EngineBackend
from parity.backends.protocol import NotExpressible
from parity.backends.torchao_cells import LEGACY, TORCHAO
from parity.backends.torchao_gaps import Wanted, gap
from parity.lanes import Flow, Lane
from parity.trace import Trace
from parity.training import float_layer_like, train
from quant import QuantScheme, epochs, prepare

_ENGINE: Final = EngineBackend()


class EpochBackend:
    """The flows of one epoch. Schemes are read as torchao 0.18's lanes read them: what a scheme leaves to torchao is
    what the epoch put there, and what torchao's configs and quantizers have no word for is NotExpressible.
    """

    flows = (Flow.PTQ, Flow.QAT_PREPARE, Flow.QAT_CONVERT)

    def __init__(self, epoch: epochs.Epoch) -> None:
        self.epoch = epoch
        self.name = f"torchao_{epoch.name}"

    def unrun(self, lane: Lane) -> str | None:
        """Why the lane cannot run here: rules of its own, or a mode or device that is missing."""
        if lane.rules is not None:
            return f"{lane.backend} follows the rules of its epoch, not {lane.rules}"
        if lane.mode != "eager":
            return f"{lane.backend}'s {lane.mode} lane is not built"
        return missing(lane.device)

    def declared(self, lane: Lane, layer: nn.Module, scheme: QuantScheme) -> QuantScheme:
        """What the epoch's flow made of a scheme. Raises NotExpressible where it had no word for the scheme."""
        embedding = isinstance(layer, nn.Embedding)
        wanted = Wanted.of(scheme, layer, backend=TORCHAO if lane.flow is Flow.PTQ else LEGACY, flow=lane.flow)
        reason = gap(wanted)
        if reason is not None:
            raise NotExpressible(reason)
        instead = {
            Flow.PTQ: self.epoch.ptq,
            Flow.QAT_PREPARE: self.epoch.qat_prepare,
            Flow.QAT_CONVERT: self.epoch.qat_convert,
        }
        return instead[lane.flow].carried_out(scheme, embedding=embedding)

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
        """The stages of one flow; weights train as the epoch's prepare trained them. Raises what `declared` raises."""
        carried = self.declared(lane, layer, scheme)
        if steps and lane.flow is not Flow.QAT_PREPARE:
            layer, steps = self.trained(lane, layer, x, scheme, steps), 0
        return _ENGINE.trace(lane, layer, x, carried, steps, gradients=gradients)

    def trained(self, lane: Lane, layer: nn.Module, x: Tensor, scheme: QuantScheme, steps: int) -> nn.Module:
        """A float layer with the weights that the epoch's prepare trains, whichever flow quantizes them."""
        carried = self.declared(replace(lane, flow=Flow.QAT_PREPARE), layer, scheme)
        return float_layer_like(layer, train(prepare(copy.deepcopy(layer), carried), x, steps))


(
    TORCHAO_BEFORE_1964,
    TORCHAO_BEFORE_2060,
    TORCHAO_BEFORE_2085,
    TORCHAO_BEFORE_2180,
    TORCHAO_BEFORE_2280,
    TORCHAO_BEFORE_2861,
    TORCHAO_BEFORE_4534,
    TORCHAO_0_18,
) = map(EpochBackend, epochs.EPOCHS)
