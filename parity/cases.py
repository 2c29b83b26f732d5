"""A case made real for one lane: a float layer with the cell's weight, and the input at the cell's layout."""

from __future__ import annotations

from typing import TypeVar

from torch import Tensor, nn

from parity.axes import OPERATIONS
from parity.cells import Cell
from parity.inputs import Inputs
from parity.layouts import laid_out
from parity.operations import Operation

Layer = TypeVar("Layer", bound=nn.Module)


def layer_of(cell: Cell, inputs: Inputs, device: str) -> nn.Module:
    """A float nn.Linear, nn.Embedding or Operation with the first case's weight, on a lane's device, in eval mode."""
    weight = nn.Parameter(laid_out(inputs.weight[0].to(device), _weight_layout(cell)))
    if cell["op"] == "embedding":
        embedding = _blank(nn.Embedding)
        embedding.num_embeddings, embedding.embedding_dim = weight.shape
        embedding.padding_idx = embedding.max_norm = None
        embedding.norm_type, embedding.scale_grad_by_freq, embedding.sparse = 2.0, False, False
        embedding.weight = weight
        return embedding.eval()
    if cell["op"] in OPERATIONS:
        return Operation(cell["op"], weight).eval()
    linear = _blank(nn.Linear)
    linear.out_features, linear.in_features = weight.shape
    linear.weight = weight
    bias = None if inputs.bias is None else nn.Parameter(inputs.bias[0].to(device))
    linear.register_parameter("bias", bias)
    return linear.eval()


def input_of(cell: Cell, inputs: Inputs, device: str) -> Tensor:
    """The first case's input at the cell's layout, on a lane's device."""
    return laid_out(inputs.x[0].to(device), cell["layout"])


def _weight_layout(cell: Cell) -> str:
    """A weight is never expanded: its rows differ."""
    return "contiguous" if cell["layout"] == "expanded" else cell["layout"]


def _blank(kind: type[Layer]) -> Layer:
    """A module of this kind without the random initialization of its parameters."""
    layer = kind.__new__(kind)
    nn.Module.__init__(layer)
    return layer
