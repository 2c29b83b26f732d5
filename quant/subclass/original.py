"""original_of(w): the numbers of a FakeQuantizedTensor as a plain tensor, through which gradients pass to w.

An operator, so that a tracer sees where the numbers come from: an attribute read in a graph would cut the gradient off.
"""

import torch
from torch import Tensor


def original_of(tensor: Tensor) -> Tensor:
    """The numbers of a FakeQuantizedTensor, in its own memory; a copy of any other tensor."""
    plain: Tensor = torch.ops.quant_parity.original(tensor)
    return plain


@torch.library.custom_op("quant_parity::original", mutates_args=(), schema="(Tensor x) -> Tensor")
def _original(x: Tensor) -> Tensor:
    return x.clone()  # a FakeQuantizedTensor answers for itself, in quant.subclass.moves


_original.register_fake(torch.empty_like)
_original.register_autograd(lambda ctx, grad: grad)
