"""The engine's lanes: the public flow on a real module, its stages read from what the module stored and returned."""

from __future__ import annotations

import copy
from typing import cast

import torch
from torch import Tensor, nn

from kernels.availability import missing
from parity.backends.engine_operations import operation_trace
from parity.backends.engine_stages import trace_of
from parity.backends.graphs import fusing, stages_in
from parity.calibration import calibration_batches, learned_qparams, trained_and_calibrated
from parity.gradients import with_gradients
from parity.lanes import Flow, Lane
from parity.operations import Operation
from parity.trace import Trace
from parity.training import float_layer_like
from quant import QuantScheme, convert, prepare, quantize_
from quant.embedding import FakeQuantizedEmbedding, QuantizedEmbedding
from quant.linear import FakeQuantizedLinear, QuantizedLinear
from quant.stored import stored_codes

Quantized = QuantizedLinear | QuantizedEmbedding
Prepared = FakeQuantizedLinear | FakeQuantizedEmbedding


class EngineBackend:
    """quant/ as a backend: PTQ = quantize_, QAT-prepare = prepare in eval, QAT-convert = convert after a round trip
    through state dicts.
    """

    name = "engine"
    flows = (Flow.PTQ, Flow.QAT_PREPARE, Flow.QAT_CONVERT)

    def unrun(self, lane: Lane) -> str | None:
        """Why the lane's device or mode is not to be had here."""
        return missing(lane.device, lane.mode, dtype=torch.float64)  # in which products are proved exact

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
        """The stages of one flow; what trains is a copy. Raises ValueError for a scheme without meaning."""
        if isinstance(layer, Operation):
            return operation_trace(lane, layer, x, scheme)
        with fusing(lane.mode):
            return self._trace(lane, layer, x, scheme, steps, gradients)

    def trained(self, lane: Lane, layer: nn.Module, x: Tensor, scheme: QuantScheme, steps: int) -> nn.Module:
        """What every flow of the engine quantizes after its steps: all of them train by prepare."""
        with fusing(lane.mode):
            return float_layer_like(layer, _trained(copy.deepcopy(layer), x, scheme, steps))

    def _trace(
        self, lane: Lane, layer: nn.Module, x: Tensor, scheme: QuantScheme, steps: int, gradients: bool
    ) -> Trace:
        own = copy.deepcopy(layer) if steps else layer
        dtype = cast(Tensor, layer.weight).dtype
        if lane.flow is Flow.PTQ:
            learned = None
            if steps:
                trained = _trained(own, x, scheme, steps)
                own, learned = float_layer_like(layer, trained), learned_qparams(trained)
            if learned is not None:
                module: Quantized = QuantizedLinear.from_float(own.weight, own.bias, scheme, learned)  # type: ignore[arg-type]  # a Linear
            else:
                module = cast(Quantized, quantize_(own, scheme, batches=calibration_batches(x, scheme)))
        else:
            prepared = _trained(own, x, scheme, steps).eval()
            if lane.flow is Flow.QAT_PREPARE:
                with torch.no_grad():
                    trace = trace_of(stages_in(lane.mode, prepared, x), dtype)
                return with_gradients(trace, prepared, x) if gradients else trace
            if steps:  # what was learned must survive the checkpoint it is read from
                prepared = _reloaded(prepared, scheme)
            module = through_state_dict(cast(Quantized, convert(prepared)), scheme)
        with torch.no_grad():
            return trace_of(stages_in(lane.mode, module, x), dtype)


def _trained(own: nn.Module, x: Tensor, scheme: QuantScheme, steps: int) -> Prepared:
    """The layer prepared, in place, and trained."""
    return trained_and_calibrated(cast(Prepared, prepare(own, scheme)), x, steps)


def _reloaded(prepared: Prepared, scheme: QuantScheme) -> Prepared:
    """A second prepared layer that knows the first only through its state dict."""
    other = copy.deepcopy(prepared)
    with torch.no_grad():
        for value in other.state_dict().values():
            value.fill_(torch.nan if value.is_floating_point() else 0)
    other.load_state_dict(prepared.state_dict())
    return other


def through_state_dict(module: Quantized, scheme: QuantScheme) -> Quantized:
    """A second quantized layer that knows the first only through its state dict."""
    shape = tuple(stored_codes(module).shape)
    other: Quantized
    if isinstance(module, QuantizedLinear):
        other = QuantizedLinear.empty(shape, module.dtype, scheme, bias=module.bias is not None)
    else:
        other = QuantizedEmbedding.empty(shape, module.dtype, scheme)
    # Assigned, not copied into contiguous buffers: strides are part of what a native product depends on.
    other.load_state_dict({name: value.clone() for name, value in module.state_dict().items()}, assign=True)
    return other
