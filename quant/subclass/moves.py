"""What operators below autograd make of a FakeQuantizedTensor: moved numbers stay wrapped, computed ones do not."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.utils._pytree import tree_map, tree_map_only

if TYPE_CHECKING:
    from quant.subclass.tensor import FakeQuantizedTensor

aten = torch.ops.aten

# Beside every view: the same numbers elsewhere or in another dtype, or room for them. Shards and copies of a weight are
# weights.
MOVES = {
    aten.clone.default,
    aten._to_copy.default,
    aten.empty_like.default,
    aten.new_empty.default,
    aten.new_zeros.default,
    aten._unsafe_view.default,
}
TURNS = {aten.t.default, aten.transpose.int}
# Products that quant.subclass.products does not know: to hand them unquantized numbers would be a silent lie.
REFUSED = {
    aten.mm.default,
    aten.addmm.default,
    aten.bmm.default,
    aten.baddbmm.default,
    aten.mv.default,
    aten.addmv.default,
    aten.dot.default,
    aten.convolution.default,
    aten.embedding.default,
    aten._embedding_bag.default,
}


def dispatched(cls: type[FakeQuantizedTensor], func: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
    """func(*args) on the originals. Raises NotImplementedError for a product that would read them unquantized."""
    if func in REFUSED:
        raise NotImplementedError(
            f"{func} would multiply a weight that prepare wrapped without quantizing it; use F.linear, x @ weight.t(), "
            "torch.addmm(bias, x, weight.t()) or F.embedding, or prepare with the mechanism module_swap"
        )
    plain, plain_kwargs = tree_map_only(cls, _original, (list(args), dict(kwargs)))
    first = args[0] if args else None
    if func is torch.ops.quant_parity.original.default:
        return plain[0].detach()
    result = func(*plain, **plain_kwargs)
    if not isinstance(first, cls):
        return result
    if func in TURNS:
        turns = func is aten.t.default or (args[1] - args[2]) % first.dim() != 0
        return cls(result, first.scheme, first.transposed != turns)
    if func.is_view or func in MOVES:
        return tree_map(lambda t: cls(t, first.scheme, first.transposed) if isinstance(t, Tensor) else t, result)
    written = func._schema.arguments[0].alias_info
    return first if written is not None and written.is_write else result


def _original(tensor: FakeQuantizedTensor) -> Tensor:
    return tensor.original
