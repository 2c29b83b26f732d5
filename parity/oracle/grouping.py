"""Which elements share a scale, written from the definition: element i belongs to block i // b in every dimension."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np

from quant.granularity import Granularity


@dataclass(frozen=True, slots=True)
class Grouping:
    """Rows of elements, one row a block: the blocks in row-major order, the elements of each in row-major order."""

    shape: tuple[int, ...]
    qparam_shape: tuple[int, ...]
    order: Any  # flat index of each element of `rows`

    @classmethod
    def of(cls, granularity: Granularity, shape: tuple[int, ...]) -> Grouping:
        """Raises what the granularity raises, and ValueError for a shape without elements."""
        if 0 in shape:
            raise ValueError(f"the shape {shape} holds no elements, so there is no range to choose a scale from")
        block = granularity.block_shape(shape)
        qparam_shape = tuple(n // b for n, b in zip(shape, block, strict=True))
        index = np.indices(shape).reshape(len(shape), prod(shape))
        owner = np.zeros(prod(shape), dtype=np.int64)
        for i, b, count in zip(index, block, qparam_shape, strict=True):
            owner = owner * count + i // b
        return cls(shape, qparam_shape, np.argsort(owner, kind="stable"))

    def rows(self, flat: Any) -> Any:
        """[blocks, elements of a block] from an array of `shape`."""
        return np.ravel(flat)[self.order].reshape(prod(self.qparam_shape), -1)

    def placed(self, rows: Any) -> Any:
        """An array of `shape` from rows."""
        flat = np.empty(len(self.order), dtype=rows.dtype)
        flat[self.order] = np.ravel(rows)
        return flat.reshape(self.shape)
