"""The engine's other mechanism as a backend: QAT by tensor subclass, stage by stage, with the layer's own output."""

from __future__ import annotations

import copy
from dataclasses import replace

import torch
from torch import Tensor, nn

from kernels.availability import missing
from parity.backends.engine import Quantized, through_state_dict
from parity.backends.engine_stages import trace_of
from parity.backends.protocol import NotExpressible
from parity.gradients import with_gradients
from parity.lanes import Flow, Lane
from parity.trace import Trace
from parity.training import float_layer_like, train
from quant import Mechanism, QuantScheme, convert, prepare
from quant.statistic import Own
from quant.subclass import stages_of


class EngineSubclassBackend:
    """quant/ with mechanism subclass: QAT-prepare and QAT-convert, of which the engine's module swap gives the bits."""

    name = "engine_subclass"
    flows = (Flow.QAT_PREPARE, Flow.QAT_CONVERT)

    def unrun(self, lane: Lane) -> str | None:
        """Why the lane's flow, device or mode is not to be had here."""
        if lane.flow not in self.flows:
            return f"{self.name} has no {lane.flow}; its flows are {', '.join(self.flows)}"
        if lane.mode != "eager":
            return f"{self.name}'s {lane.mode} lane is not built"
        return missing(lane.device)

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
        """The stages of one flow on a copy of the layer. Raises NotExpressible for ranges that only a module keeps."""
        for tensor in (scheme.weight, scheme.activation):
            if tensor is not None and not isinstance(tensor.statistic, Own):
                raise NotExpressible(f"the statistic {tensor.statistic} is kept by a module, and a tensor keeps none")
        prepared = _trained(layer, x, scheme, steps).eval()
        dtype = prepared.weight.dtype
        assert isinstance(dtype, torch.dtype)
        with torch.no_grad():
            if lane.flow is Flow.QAT_CONVERT:
                converted = convert(prepared)
                assert isinstance(converted, Quantized)
                return trace_of(through_state_dict(converted, scheme).stages(x), dtype)
            stages = replace(stages_of(prepared, x), output=prepared(x))
        trace = trace_of(stages, dtype)
        return with_gradients(trace, prepared, x) if gradients else trace

    def trained(self, lane: Lane, layer: nn.Module, x: Tensor, scheme: QuantScheme, steps: int) -> nn.Module:
        """What both flows quantize after their steps."""
        return float_layer_like(layer, _trained(layer, x, scheme, steps))


def _trained(layer: nn.Module, x: Tensor, scheme: QuantScheme, steps: int) -> nn.Module:
    """A copy of the layer, prepared and trained."""
    return train(prepare(copy.deepcopy(layer), scheme, mechanism=Mechanism.SUBCLASS), x, steps)
