"""in_blocks(qparam) = a scale or zero point written into every block of another granularity, as lanes may keep it."""

from __future__ import annotations

from torch import Tensor

from quant.granularity import Granularity, Shape, groups_of


def in_blocks(qparam: Tensor, of: Granularity, into: Granularity, shape: Shape) -> Tensor:
    """The entry of `of`'s block in which each block of `into` begins, of a tensor of this shape."""
    coarse, fine = groups_of(of, shape), groups_of(into, shape)
    begins = fine.split(coarse.join(coarse.spread(qparam).expand(coarse.view)))
    for dimension in fine.reduced:
        begins = begins.narrow(dimension, 0, 1)
    return begins.reshape(fine.qparam_shape)
