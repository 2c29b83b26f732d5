"""A lane that computes with quantized tensors in place of a layer: what it computes, and the contract it declares."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from torch import Tensor

from parity.trace import Trace
from quant import QuantScheme
from quant.quantized_tensor import Contract

Run = Callable[[Tensor, Tensor, QuantScheme, Contract], Trace]


@dataclass(frozen=True, slots=True, eq=False)
class Operated:
    """`run(weight, x, scheme, contract)` is the trace of an operation; `contract` the one that is declared."""

    run: Run
    contract: Contract


@runtime_checkable
class Operates(Protocol):
    """A backend whose flows are an operation of quantized tensors."""

    @property
    def operated(self) -> Operated: ...
