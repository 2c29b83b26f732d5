"""Operation: what is computed of a weight and an input, as a layer; quantized, it is computed of QuantizedTensors."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final

from torch import Tensor, nn

from parity.axes import OPERATIONS

# Of the weight [N, K] and the input: [M, K] of a product, [N, K] else.
FUNCTIONS: Final[Mapping[str, Callable[[Tensor, Tensor], Tensor]]] = MappingProxyType(
    {
        "matmul": lambda weight, x: x @ weight.mT,
        "add": lambda weight, x: x + weight,
        "abs": lambda weight, x: weight.abs(),
        "flip": lambda weight, x: weight.flip(0),
    }
)
OF_THE_WEIGHT: Final = ("abs", "flip")  # which take no input

assert tuple(FUNCTIONS) == OPERATIONS


class Operation(nn.Module):
    """forward(x) = the operation of that name of a float weight and x: no bias, nothing to train."""

    def __init__(self, name: str, weight: nn.Parameter) -> None:
        super().__init__()
        self.name, self.weight = name, weight

    def forward(self, x: Tensor) -> Tensor:
        return FUNCTIONS[self.name](self.weight, x)
