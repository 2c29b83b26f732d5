"""The engine's lanes of operations: PTQ by the tensors' contract, prepare by hand, convert after a state dict."""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn

from parity.backends.engine_stages import operand_stages
from parity.backends.protocol import NotExpressible
from parity.lanes import Flow, Lane
from parity.operated import Operated
from parity.operations import FUNCTIONS, OF_THE_WEIGHT, Operation
from parity.trace import Stage, Trace
from quant import Propagation, QuantizedTensor, QuantScheme
from quant.fake import Operand, fake_operand
from quant.linear import layer_stages
from quant.quantized_tensor import CONTRACTS, ENGINE, Contract, Kind


def operation_trace(lane: Lane, layer: Operation, x: Tensor, scheme: QuantScheme) -> Trace:
    """The stages of one flow; a quantized result has output.scale and output.codes, and `output` is what they mean.

    Burn's rule sets follow Burn's contracts of the same name. Raises ValueError for a scheme without meaning, and
    NotExpressible for a graph.
    """
    if lane.mode != "eager":
        raise NotExpressible(f"operations of quantized tensors run eagerly, not {lane.mode}")
    contract = contract_of(lane)
    with torch.no_grad():
        if lane.flow is Flow.QAT_PREPARE:
            return _pretended(layer, x, scheme, contract.kind_of(layer.name))
        return quantized_trace(layer, x, scheme, contract, stored=lane.flow is Flow.QAT_CONVERT)


def contract_of(lane: Lane) -> Contract:
    """The contract that a lane's tensors follow: Burn's of the name of its rule set, else the engine's."""
    return CONTRACTS.get(lane.rules or "", ENGINE)


def operated(lane: Lane, name: str) -> Operated:
    """The operation of a lane, to be explained: by hand, in prepare, codes move as the engine's contract has it."""

    def run(weight: Tensor, x: Tensor, scheme: QuantScheme, contract: Contract) -> Trace:
        return quantized_trace(Operation(name, nn.Parameter(weight)), x, scheme, contract)

    return Operated(run=run, contract=ENGINE if lane.flow is Flow.QAT_PREPARE else contract_of(lane))


@torch.no_grad()
def quantized_trace(
    layer: Operation, x: Tensor, scheme: QuantScheme, contract: Contract, *, stored: bool = False
) -> Trace:
    """The stages of the operation of QuantizedTensors; `stored`: the weight comes out of a state dict."""
    weight = QuantizedTensor.from_float(layer.weight, scheme, contract)
    if stored:
        weight = _through_state_dict(weight, torch.ones_like(layer.weight))
    taken = () if layer.name in OF_THE_WEIGHT else (QuantizedTensor.from_float(x, scheme, contract),)
    result = FUNCTIONS[layer.name](weight, *taken or (x,))
    return _trace(
        weight=_operand(weight),
        taken=_operand(taken[0]) if taken else None,
        value=None if isinstance(result, QuantizedTensor) else result,
        result=_operand(result) if isinstance(result, QuantizedTensor) else None,
        dtype=layer.weight.dtype,
    )


def operation_value(layer: Operation, x: Tensor, weight: Operand, taken: Operand | None, scheme: QuantScheme) -> Tensor:
    """The float result of an operation of what its operands stand for."""
    if layer.name == "matmul":
        return layer_stages(x, taken, weight, None, scheme, layer.weight.dtype).output
    return FUNCTIONS[layer.name](weight.dequantized, x if taken is None else taken.dequantized)


def _pretended(layer: Operation, x: Tensor, scheme: QuantScheme, kind: Kind) -> Trace:
    """What a model that trains would compute: fake-quantized operands, and a fake-quantized result where it is one."""
    weight = fake_operand(layer.weight, scheme.weight)
    taken = None if layer.name in OF_THE_WEIGHT else fake_operand(x, scheme.weight)
    value = operation_value(layer, x, weight, taken, scheme)
    follows = kind in (Kind.PROPAGATE, Kind.PRODUCT) and scheme.propagation is Propagation.PROPAGATE
    result = fake_operand(value, scheme.weight) if follows or kind is Kind.REQUANTIZE else None
    return _trace(weight=weight, taken=taken, value=value, result=result, dtype=layer.weight.dtype)


def _trace(
    *, weight: Operand, taken: Operand | None, value: Tensor | None, result: Operand | None, dtype: torch.dtype
) -> Trace:
    stages = [] if taken is None else operand_stages("input", taken, dtype)
    stages += operand_stages("weight", weight, dtype)
    if result is not None:
        return Trace([*stages, *operand_stages("output", result, dtype)])
    assert value is not None
    return Trace([*stages, Stage(name="output", tensor=value, computed=value.dtype)])


def _operand(tensor: QuantizedTensor) -> Operand:
    quantized = tensor.quantized
    return Operand(qparams=quantized.qparams, codes=quantized.codes, dequantized=tensor.dequantize())


def _through_state_dict(tensor: QuantizedTensor, blank: Tensor) -> QuantizedTensor:
    """A second quantized tensor that knows the first only through the state dict of a module that holds it."""
    holders = []
    for each in (tensor, QuantizedTensor.from_float(blank, tensor.scheme, tensor.contract)):
        holders.append(nn.Module())
        holders[-1].register_parameter("tensor", nn.Parameter(each, requires_grad=False))
    holders[1].load_state_dict(holders[0].state_dict())
    return cast(QuantizedTensor, holders[1].tensor)
