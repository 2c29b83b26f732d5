"""What is read of a tensor whose dimensions do not lie in memory as a kernel takes for granted; nothing is computed."""

from __future__ import annotations

import torch
from torch import Tensor

WORD = 32


def as_it_lies(x: Tensor) -> Tensor:
    """The first numel elements of x's memory in the shape of x: x itself where it is contiguous.

    Raises ValueError where so many do not follow x's first element.
    """
    behind = x.untyped_storage().nbytes() // x.element_size() - x.storage_offset()
    if x.numel() > behind:
        raise ValueError(
            f"source_order is memory and x holds {x.numel()} elements in {behind} places of memory: reading them one "
            "after another goes past the end; use index, or a contiguous tensor"
        )
    contiguous = torch.empty(x.shape, device="meta").stride()
    return x.as_strided(x.shape, contiguous)


def unpacked_along_last(codes: Tensor, bits: int) -> Tensor:
    """Codes whose words were packed along the dimension with stride 1, taken apart along the last one.

    The codes themselves where these are one. Raises ValueError for rows that do not fill their words.
    """
    count = WORD // bits
    packed = next((axis for axis in range(codes.dim()) if codes.stride(axis) == 1), codes.dim() - 1)
    if packed == codes.dim() - 1:
        return codes
    if codes.shape[packed] % count:
        raise ValueError(
            f"packed_axis is last and dimension {packed} has {codes.shape[packed]} codes of {bits} bits, {count} to a "
            "word; a tensor that was transposed has a multiple of them"
        )
    words: Tensor = codes.unflatten(packed, (-1, count)).movedim(packed + 1, -1)
    return words.reshape(codes.shape)
