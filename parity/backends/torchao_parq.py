"""torchao.prototype.parq as lanes: weights drawn to a stretched grid by its optimizer, and what it converts to."""

from __future__ import annotations

from torch import Tensor, nn

from kernels.availability import missing
from parity.backends.protocol import NotExpressible
from parity.backends.torchao_gaps import Wanted
from parity.backends.torchao_package import unusable
from parity.backends.torchao_parq_cells import PARQ
from parity.lanes import Flow, Lane
from parity.trace import Trace
from quant import Mapping, PerAxis, PerGroup, QuantScheme
from quant.mapping import Extent

_STRETCHED = (
    "torchao's PARQ stretches the grid of 1 to 7 bits over min(bits * mean|w|, max|w|) per group or per channel"
)


class TorchaoParqBackend:
    """PTQ = quantize_ with StretchedIntxWeightConfig. Prepare = the layer after a step of QuantOptimizer that moves
    nothing, and `steps` that do, with hard quantization. Convert = its torchao_convert.

    A converter has no word for eps: it takes the machine eps of the weight's dtype, whatever the quantizer took.
    """

    name = PARQ
    flows = (Flow.PTQ, Flow.QAT_PREPARE, Flow.QAT_CONVERT)

    def unrun(self, lane: Lane) -> str | None:
        """Why the lane cannot run here: torchao, the device, the mode or the flow is missing."""
        if lane.rules is not None:
            return f"{lane.backend} follows its own rules, not {lane.rules}"
        if lane.mode != "eager":
            return f"{lane.backend}'s {lane.mode} lane is not built"
        return unusable() or missing(lane.device)

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
        """The stages of one flow; a weight on the grid has no gradients of its own. Raises NotExpressible."""
        wanted = _expressible(scheme, layer, lane, steps)
        from parity.backends.torchao_parq_flows import parq_trace

        return parq_trace(layer, x, wanted, steps)

    def trained(self, lane: Lane, layer: nn.Module, x: Tensor, scheme: QuantScheme, steps: int) -> nn.Module:
        """What PARQ's optimizer trains the layer to. Raises NotExpressible."""
        wanted = _expressible(scheme, layer, lane, steps)
        from parity.backends.torchao_parq_flows import parq_trained

        return parq_trained(layer, x, wanted, steps)


def _expressible(scheme: QuantScheme, layer: nn.Module, lane: Lane, steps: int) -> Wanted:
    wanted = Wanted.of(scheme, layer, backend=lane.backend, flow=lane.flow, trained=steps > 0)
    reason = parq_gap(wanted)
    if reason is not None:
        raise NotExpressible(reason)
    return wanted


def parq_gap(wanted: Wanted) -> str | None:
    """The first thing wanted that torchao's PARQ cannot be told, as a sentence, or None."""
    weight, dtype = wanted.weight, wanted.dtype
    grouped = weight.granularity == PerAxis(0) or (isinstance(weight.granularity, PerGroup) and wanted.group_size > 1)
    if weight.mapping is not Mapping.STRETCHED or weight.extent is not Extent.CAPPED_ABS_MEAN or weight.bits > 7:
        return f"the weight is {weight.mapping} {weight.extent} of {weight.bits} bits, but {_STRETCHED}"
    if not grouped:
        return f"the weight's granularity is {weight.granularity}, but {_STRETCHED}"
    if (weight.scale_dtype, weight.zero_point_dtype) != (dtype, dtype):
        return (
            f"scale_dtype is {weight.scale_dtype} and zero_point_dtype {weight.zero_point_dtype}, but torchao's PARQ "
            f"stores both in the weight's dtype, {dtype}"
        )
    if wanted.activation is not None and (wanted.flow is not Flow.PTQ or wanted.trained):
        return "the activation is quantized, but torchao's PARQ trains weights beside float activations"
    if wanted.activation is not None and (wanted.activation.scale_dtype, wanted.activation.eps) != (
        dtype,
        wanted.own_eps,
    ):
        return "the activation has a scale dtype or an eps of its own, but torchao's converter has no word for them"
    if wanted.output_dtype != dtype:
        return f"output_dtype is {wanted.output_dtype}, but torchao's layers return their weight's dtype, {dtype}"
    return None
