"""ATen's int4 product on CPU as a lane: the weights that QAT trains for, met by the kernel that will multiply them.

The kernel dequantizes with a fused multiply-add in float32, never rounds the weight to x's dtype, and sums over k in
order, fused: the rule set tinygemm_cpu. Qparams and codes are the engine's under that set; bytes are ATen's own.
"""

from __future__ import annotations

from dataclasses import replace
from typing import cast

import torch
from torch import Tensor, nn

from kernels.availability import missing
from parity.backends.engine_stages import operand_stages
from parity.backends.protocol import NotExpressible
from parity.lanes import Flow, Lane
from parity.trace import Stage, Trace
from quant import QuantScheme
from quant.fake import quantized_operand
from quant.granularity import PerGroup
from quant.layouts.scales import interleave
from quant.packing import Packing

_PACKING = Packing.cpu_int4("avx512")


class AtenInt4Backend:
    """PTQ alone: a weight is packed, and multiplied by _weight_int4pack_mm_for_cpu."""

    name = "aten_int4"
    flows = (Flow.PTQ,)

    def unrun(self, lane: Lane) -> str | None:
        """The rule set states the order of AVX512 code; other instruction sets fuse differently."""
        if lane.mode != "eager":
            return f"{self.name} has no {lane.mode} lane"
        return missing(lane.device, layout=str(_PACKING))

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
        """Scale, zero point, codes and output. Raises NotExpressible for what is no linear layer of groups."""
        if not isinstance(layer, nn.Linear) or steps or gradients or scheme.activation is not None:
            raise NotExpressible("ATen's int4 product is a linear layer with float activations, at inference")
        granularity = scheme.weight.granularity
        if not isinstance(granularity, PerGroup):
            raise NotExpressible(f"ATen's int4 product takes groups, not {granularity}")
        weight = layer.weight.detach()
        resolved = scheme.weight.resolved(weight.dtype)
        _PACKING.check(resolved, tuple(weight.shape), weight.dtype)
        operand = quantized_operand(weight, scheme.weight)
        packed = torch.ops.aten._convert_weight_to_int4pack_for_cpu(operand.codes.int(), 1)
        both = interleave(operand.qparams.scale, cast(Tensor, operand.qparams.zero_point))
        rows = x.reshape(-1, x.shape[-1])
        output = torch.ops.aten._weight_int4pack_mm_for_cpu(rows, packed, granularity.size, both)
        if layer.bias is not None:
            output = output + layer.bias.detach()
        output = output.reshape(*x.shape[:-1], weight.shape[0])
        if scheme.packing is not None:
            operand = replace(operand, packed=packed)
        stages = [stage for stage in operand_stages("weight", operand, weight.dtype) if stage.name != _READ_BACK]
        return Trace([*stages, Stage(name="output", tensor=output, computed=output.dtype)])


_READ_BACK = "weight.dequantized"  # the kernel hands it to nobody
