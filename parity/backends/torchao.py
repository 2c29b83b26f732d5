"""torchao 0.18's lanes: its public flows on the real module, torchao itself imported by the first lane that runs."""

from __future__ import annotations

from torch import Tensor, nn

from kernels.availability import missing
from parity.backends.functions import Functions
from parity.backends.protocol import NotExpressible
from parity.backends.torchao_cells import LEGACY, TORCHAO
from parity.backends.torchao_gaps import Wanted, gap
from parity.backends.torchao_package import unusable
from parity.lanes import Flow, Lane
from parity.trace import Trace
from quant import QuantScheme


class TorchaoBackend:
    """PTQ = quantize_ with an intx config; QAT = quantize_ with QATConfig's steps prepare and convert.

    The scheme's rules are not consulted: torchao has its own, which the rule set `torchao` declares. An activation
    scheme does not act on an embedding. Float zero points are trained with and not stored: codes with one are packed.
    """

    name = TORCHAO
    flows = (Flow.PTQ, Flow.QAT_PREPARE, Flow.QAT_CONVERT)

    def unrun(self, lane: Lane) -> str | None:
        """Why the lane cannot run here: torchao, the device, the mode or the flow is missing."""
        return _unrun(lane, self.flows)

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
        """The stages of one flow. Raises NotExpressible, or ValueError for a scheme without meaning."""
        wanted = _expressible(scheme, layer, lane, steps)
        from parity.backends.torchao_flows import config_trace

        return config_trace(layer, x, wanted, steps, gradients)

    def trained(self, lane: Lane, layer: nn.Module, x: Tensor, scheme: QuantScheme, steps: int) -> nn.Module:
        """What QATConfig's prepare step trains the layer to. Raises what `trace` raises."""
        from parity.backends.torchao_flows import config_trained

        return config_trained(layer, x, _expressible(scheme, layer, lane, steps), steps)

    @property
    def functions(self) -> Functions:
        """torchao's primitives, which take schemes that its flows have no word for."""
        from parity.backends.torchao_functions import FUNCTIONS

        return FUNCTIONS


class Torchao8da4wBackend:
    """8da4w by Int8DynActInt4WeightQATQuantizer, embeddings by Int4WeightOnlyEmbeddingQATQuantizer: prepare, convert.

    The activation's scale is always float32 with eps 2**-23, also where the scheme leaves both to torchao (the model's
    dtype and its smallest normal, which is what a config's None means elsewhere in torchao).
    """

    name = LEGACY
    flows = (Flow.QAT_PREPARE, Flow.QAT_CONVERT)

    def unrun(self, lane: Lane) -> str | None:
        """Why the lane cannot run here: torchao, the device, the mode or the flow is missing."""
        return _unrun(lane, self.flows)

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
        """The stages of one flow. Raises NotExpressible, also for weights holding NaN that are to be converted."""
        wanted = _expressible(scheme, layer, lane, steps)
        from parity.backends.torchao_flows import legacy_trace_of

        return legacy_trace_of(layer, x, wanted, steps, gradients)

    def trained(self, lane: Lane, layer: nn.Module, x: Tensor, scheme: QuantScheme, steps: int) -> nn.Module:
        """What the legacy quantizer's prepare trains the layer to. Raises what `trace` raises."""
        from parity.backends.torchao_flows import legacy_trained

        return legacy_trained(layer, x, _expressible(scheme, layer, lane, steps), steps)


def _unrun(lane: Lane, flows: tuple[Flow, ...]) -> str | None:
    if lane.flow not in flows:
        return f"{lane.backend} has no {lane.flow}; its flows are {', '.join(flows)}"
    if lane.rules is not None:
        return f"{lane.backend} follows its own rules, not {lane.rules}"
    if lane.mode != "eager":
        return f"{lane.backend}'s {lane.mode} lane is not built"
    return unusable() or missing(lane.device)


def _expressible(scheme: QuantScheme, layer: nn.Module, lane: Lane, steps: int) -> Wanted:
    wanted = Wanted.of(scheme, layer, backend=lane.backend, flow=lane.flow, trained=steps > 0)
    reason = gap(wanted)
    if reason is not None:
        raise NotExpressible(reason)
    return wanted
