"""backend_from_functions(name, quantize=f) = a backend made of three functions; those left out are the engine's.

    choose_qparams(x, scheme) -> (scale, zero_point)
    quantize(x, scale, zero_point, scheme) -> codes
    dequantize(codes, scale, zero_point, scheme, dtype) -> tensor

scheme is resolved for x's dtype: no "model" and no EpsOf is left in it. Qparams have one entry a block and no dimension
dropped, [rows, groups] for groups; zero_point is None in the NONE domain. A function raises ValueError for a scheme
without meaning and NotExpressible for one that it has no counterpart of.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn

import quant
from kernels.availability import missing
from parity.backends.protocol import NotExpressible
from parity.lanes import Flow, Lane
from parity.pair import Case
from parity.trace import Stage, Trace
from parity.transplant import layer_output
from quant import QParams, Quantized, QuantScheme, TensorScheme
from quant import decisions as d
from quant.granularity import groups_of
from quant.qparams import reads_unrounded_scale
from quant.scheme import ResolvedScheme

ChooseQparams = Callable[[Tensor, ResolvedScheme], tuple[Tensor, Tensor | None]]
Quantize = Callable[[Tensor, Tensor, Tensor | None, ResolvedScheme], Tensor]
Dequantize = Callable[[Tensor, Tensor, Tensor | None, ResolvedScheme, torch.dtype], Tensor]


def engine_choose_qparams(x: Tensor, scheme: ResolvedScheme) -> tuple[Tensor, Tensor | None]:
    """quant.choose_qparams without what only later steps read."""
    qparams = quant.choose_qparams(x, scheme)
    return qparams.effective_scale, qparams.zero_point


def engine_quantize(x: Tensor, scale: Tensor, zero_point: Tensor | None, scheme: ResolvedScheme) -> Tensor:
    """quant.quantize with these qparams; what the scheme's rules read beside them is chosen anew from x."""
    qparams = QParams(scale=scale, zero_point=zero_point, scheme=scheme)
    if reads_unrounded_scale(scheme.rules) or scheme.rules.float_code_origin is d.FloatCodeOrigin.MIN:
        chosen = quant.choose_qparams(x, scheme)
        qparams = QParams(
            scale=scale,
            zero_point=zero_point,
            scheme=scheme,
            unrounded_scale=chosen.unrounded_scale,
            minimum=chosen.minimum,
        )
    return quant.quantize(x, qparams).codes


def engine_dequantize(
    codes: Tensor, scale: Tensor, zero_point: Tensor | None, scheme: ResolvedScheme, dtype: torch.dtype
) -> Tensor:
    """quant.dequantize with these qparams. Raises ValueError for rules that read the scale before it was rounded."""
    qparams = QParams(scale=scale, zero_point=zero_point, scheme=scheme)
    return quant.dequantize(Quantized(codes=codes, qparams=qparams), dtype)


@dataclass(frozen=True, slots=True, kw_only=True)
class Functions:
    """Quantization as three functions, each seeing nothing but its arguments."""

    choose_qparams: ChooseQparams = engine_choose_qparams
    quantize: Quantize = engine_quantize
    dequantize: Dequantize = engine_dequantize


@dataclass(frozen=True, slots=True, kw_only=True)
class FunctionsBackend:
    """PTQ of both operands by three functions; the product of what they return is the engine's."""

    name: str
    functions: Functions
    flows: tuple[Flow, ...] = (Flow.PTQ,)

    def __post_init__(self) -> None:
        Lane(backend=self.name, flow=Flow.PTQ)  # raises ValueError for what is no name

    def unrun(self, lane: Lane) -> str | None:
        """Why the lane's device or mode is not to be had here."""
        return missing(lane.device) if lane.mode == "eager" else f"{self.name} has no {lane.mode} lane"

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
        """The stages of PTQ, each computed, as far as can be seen, in the dtype it is returned in."""
        if lane.flow is not Flow.PTQ or steps:
            raise NotExpressible(f"{self.name} is three functions, which do not train")
        weight = cast(Tensor, layer.weight).detach()
        stages: list[Stage] = []
        if scheme.activation is not None and x.is_floating_point():
            stages += self._operand("input", x, scheme.activation)
        stages += self._operand("weight", weight, scheme.weight)
        output = layer_output(Case(layer=layer, x=x), Trace(stages), scheme, lane.device).to(x.device)
        return Trace([*stages, Stage(name="output", tensor=output, computed=output.dtype)])

    def _operand(self, side: str, x: Tensor, scheme: TensorScheme) -> list[Stage]:
        resolved, functions = scheme.resolved(x.dtype), self.functions
        block_shape = groups_of(resolved.granularity, tuple(x.shape)).qparam_shape
        scale, zero_point = functions.choose_qparams(x, resolved)
        stages = [self._stage(f"{side}.scale", scale, block_shape)]
        if zero_point is not None:
            stages.append(self._stage(f"{side}.zero_point", zero_point, block_shape))
        codes = functions.quantize(x, scale, zero_point, resolved)
        stages.append(self._stage(f"{side}.codes", codes, tuple(x.shape)))
        dequantized = functions.dequantize(codes, scale, zero_point, resolved, x.dtype)
        return [*stages, self._stage(f"{side}.dequantized", dequantized, tuple(x.shape))]

    def _stage(self, name: str, returned: Tensor, shape: tuple[int, ...]) -> Stage:
        if tuple(returned.shape) != shape:
            raise TypeError(f"{self.name} returned {name} of the shape {tuple(returned.shape)}; it must be {shape}")
        return Stage(name=name, tensor=returned, computed=returned.dtype)


def backend_from_functions(
    name: str,
    *,
    choose_qparams: ChooseQparams = engine_choose_qparams,
    quantize: Quantize = engine_quantize,
    dequantize: Dequantize = engine_dequantize,
) -> FunctionsBackend:
    """A parity.Backend of these functions. Raises ValueError for a name that is not made of a-z, 0-9 and _."""
    functions = Functions(choose_qparams=choose_qparams, quantize=quantize, dequantize=dequantize)
    return FunctionsBackend(name=name, functions=functions)
