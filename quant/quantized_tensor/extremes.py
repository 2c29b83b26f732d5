"""argmax, argmin, max and min under a contract that compares codes: the values are those at the indices found."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import torch

if TYPE_CHECKING:
    from quant.quantized_tensor.operations import Call

COMPARING: Final = ("argmax", "argmin", "max", "min")


def of_codes(call: Call) -> Any:
    """One of COMPARING, float where it gives values; codes of two scales are compared as if they had one."""
    codes, rest = call.leader.quantized.codes, call.args[1:]
    if call.operation.startswith("arg"):
        return call.function(codes, *rest, **call.kwargs)
    greatest = call.operation == "max"
    place = torch.argmax if greatest else torch.argmin
    values = call.leader.dequantize()
    if not rest and not call.kwargs:
        return values.flatten()[place(codes)]
    dim, keepdim = _dimension(*rest, **call.kwargs)
    indices = place(codes, dim, keepdim=True)
    found = values.gather(dim, indices), indices
    made = torch.return_types.max if greatest else torch.return_types.min
    return made(found if keepdim else (found[0].squeeze(dim), found[1].squeeze(dim)))


def _dimension(dim: int, keepdim: bool = False) -> tuple[int, bool]:
    return dim, keepdim
