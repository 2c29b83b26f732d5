"""Lanes that compute with quantized tensors: what is quantized, what is computed of it, and every stage on the way."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor, nn

from parity.backends.engine_stages import operand_stages
from parity.history.black_box import Spoil, spoiled
from parity.lanes import Flow, Lane
from parity.operated import Operated
from parity.trace import Stage, Trace
from quant import QuantizedTensor, QuantScheme
from quant.fake import Operand
from quant.quantized_tensor import Contract

Laid = Callable[[Tensor], Tensor]


def as_it_is(weight: Tensor) -> Tensor:
    """The weight itself."""
    return weight


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Program:
    """of(w, x) of a quantized weight w; x stays float unless the scheme quantizes activations.

    laid = the float weight as it is handed over to be quantized. quantizes_weight=False: w stays float, and x alone is
    quantized, by its own scheme or the weight's.
    """

    of: Callable[[Tensor, Tensor], Tensor]
    laid: Laid = as_it_is
    quantizes_weight: bool = True

    def __call__(self, weight: Tensor, x: Tensor, scheme: QuantScheme, contract: Contract) -> Trace:
        """Stages of both operands and of the result, whose values, quantized or not, are the output."""
        with torch.no_grad():
            w, stages = self.laid(weight), []
            if scheme.activation is not None or not self.quantizes_weight:
                own = scheme if scheme.activation is None else replace(scheme, weight=scheme.activation)
                x = QuantizedTensor.from_float(x, own, contract)
                stages += _stages("input", x)
            if self.quantizes_weight:
                w = QuantizedTensor.from_float(w, scheme, contract)
                stages += _stages("weight", w)
            result = self.of(w, x)
        if isinstance(result, QuantizedTensor):
            return Trace([*stages, *_stages("output", result)])
        return Trace([*stages, Stage(name="output", tensor=result, computed=result.dtype)])


@dataclass(slots=True, kw_only=True, eq=False)  # a backend, whose protocol has plain attributes
class Operating:
    """A program that declares `contract` and the scheme it is asked for, and carries out `follows` and `scheme`.

    scheme None: what it is asked for.
    """

    program: Program
    contract: Contract
    follows: Contract
    scheme: QuantScheme | None = None
    spoiled: Mapping[str, Spoil] = field(default_factory=dict)
    name: str = "operating"
    flows: tuple[Flow, ...] = (Flow.PTQ,)

    @property
    def operated(self) -> Operated:
        return Operated(run=self.program, contract=self.contract)

    def unrun(self, lane: Lane) -> str | None:
        return None

    def trace(
        self, lane: Lane, layer: nn.Module, x: Tensor, scheme: QuantScheme, steps: int = 0, *, gradients: bool = False
    ) -> Trace:
        weight = layer.get_parameter("weight").detach()
        return spoiled(self.program(weight, x, self.scheme or scheme, self.follows), self.spoiled)


def _stages(side: str, tensor: QuantizedTensor) -> list[Stage]:
    quantized = tensor.quantized
    operand = Operand(qparams=quantized.qparams, codes=quantized.codes, dequantized=tensor.dequantize())
    return operand_stages(side, operand, tensor.dtype)
