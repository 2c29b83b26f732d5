"""A case made real for one lane: a float layer with the cell's weight, and the input at the cell's layout."""

from __future__ import annotations

from torch import Tensor, nn

from parity.cells import Cell
from parity.inputs import Inputs
from parity.layouts import laid_out


def layer_of(cell: Cell, inputs: Inputs) -> nn.Module:
    """A float nn.Linear or nn.Embedding that holds the first case's weight, on the cell's device, in eval mode."""
    weight = laid_out(inputs.weight[0].to(cell["device"]), _weight_layout(cell))
    layer: nn.Module
    if cell["op"] == "embedding":
        layer = _blank(nn.Embedding)
        layer.num_embeddings, layer.embedding_dim = weight.shape
        layer.padding_idx = layer.max_norm = None
        layer.norm_type, layer.scale_grad_by_freq, layer.sparse = 2.0, False, False
    else:
        layer = _blank(nn.Linear)
        layer.out_features, layer.in_features = weight.shape
        bias = None if inputs.bias is None else nn.Parameter(inputs.bias[0].to(cell["device"]))
        layer.register_parameter("bias", bias)
    layer.register_parameter("weight", nn.Parameter(weight))
    return layer.eval()


def input_of(cell: Cell, inputs: Inputs) -> Tensor:
    """The first case's input at the cell's layout, on the cell's device."""
    return laid_out(inputs.x[0].to(cell["device"]), cell["layout"])


def _weight_layout(cell: Cell) -> str:
    """A weight is never expanded: its rows differ."""
    return "contiguous" if cell["layout"] == "expanded" else cell["layout"]


def _blank(kind: type[nn.Module]) -> nn.Module:
    """A module of this kind without the random initialization of its parameters."""
    layer = kind.__new__(kind)
    nn.Module.__init__(layer)
    return layer
