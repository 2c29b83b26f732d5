"""moved(quantized, move): codes elsewhere, each with the scale it had. The blocks follow from where the groups went."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from math import gcd
from typing import Any

import torch
from torch import Tensor
from torch.utils._pytree import tree_flatten, tree_map, tree_unflatten

from quant.codes import Quantized
from quant.granularity import Granularity, PerAxis, PerBlock, PerGroup, PerRow, PerTensor, PerToken, Shape, groups_of
from quant.qparams import QParams

FROM_THE_END = (PerTensor, PerToken, PerRow, PerGroup)  # mean the same blocks whatever dimensions stand in front


def moved(quantized: Quantized, move: Callable[[Tensor], Any]) -> Any:
    """move(codes) as Quantized, or as the tuple of them that `move` returns; no code and no scale is computed.

    `move` takes a tensor of the codes' shape and returns its elements elsewhere: permuted, selected or repeated. The
    granularity is kept where it means the blocks that the groups now form, else it is that which does. Raises
    ValueError for a result without elements.
    """
    qparams = quantized.qparams
    codes, spec = tree_flatten(move(quantized.codes))
    if qparams.scale.numel() == 1:
        groups = [torch.zeros((), dtype=torch.int64, device=part.device).expand(part.shape) for part in codes]
    else:
        groups = tree_flatten(move(_group_of_each(quantized)))[0]
    rank = quantized.codes.dim()
    parts = [
        Quantized(codes=part, qparams=_regrouped(qparams, of_each, rank))
        for part, of_each in zip(codes, groups, strict=True)
    ]
    return tree_unflatten(parts, spec)


def moved_alone(quantized: Quantized, move: Callable[[Tensor], Any]) -> Any:
    """move(codes) under the list of scales that there was, in its order, for blocks of the size that there was.

    Raises ValueError where these are more blocks, or fewer.
    """
    qparams = quantized.qparams
    granularity, count = qparams.scheme.granularity, qparams.scale.numel()

    def of(codes: Tensor) -> Quantized:
        shape = groups_of(granularity, tuple(codes.shape)).qparam_shape
        if torch.Size(shape).numel() != count:
            raise ValueError(
                f"moved_scales is in_place and codes of shape {tuple(codes.shape)} have {torch.Size(shape).numel()} "
                f"blocks of {granularity}, where there are {count} scales; use with_codes"
            )
        return Quantized(codes=codes, qparams=mapped(qparams, lambda tensor: tensor.reshape(shape), granularity))

    return tree_map(of, move(quantized.codes))


def mapped(qparams: QParams, function: Callable[[Tensor], Tensor], granularity: Granularity) -> QParams:
    """Qparams whose every tensor of a value a group is function(its own), for the groups of another granularity."""

    def of(tensor: Tensor | None) -> Tensor | None:
        return None if tensor is None else function(tensor)

    scale, upper = function(qparams.scale), qparams.global_scale
    return QParams(
        scale=scale,
        zero_point=of(qparams.zero_point),
        scheme=replace(qparams.scheme, granularity=granularity),
        global_scale=None if upper is None else upper.reshape((1,) * scale.dim()),
        unrounded_scale=of(qparams.unrounded_scale),
        minimum=of(qparams.minimum),
    )


def _group_of_each(quantized: Quantized) -> Tensor:
    """The number of each element's group, in the shape of the codes."""
    scheme, codes = quantized.qparams.scheme, quantized.codes
    groups = groups_of(scheme.granularity, tuple(codes.shape))
    numbers = torch.arange(quantized.qparams.scale.numel(), device=codes.device).reshape(groups.qparam_shape)
    return groups.join(groups.spread(numbers).expand(groups.view)).contiguous()


def _regrouped(qparams: QParams, groups: Tensor, rank: int) -> QParams:
    """The qparams of elements that belong to `groups`, which were a tensor of `rank` dimensions."""
    shape = tuple(groups.shape)
    groups_of(PerTensor(), shape)  # raises for a shape without elements
    blocks = shape if qparams.scale.numel() == 1 else _blocks(groups)
    granularity = _granularity(qparams.scheme.granularity, blocks, shape, rank)
    corners = groups[tuple(slice(None, None, size) for size in granularity.block_shape(shape))]
    return mapped(qparams, lambda tensor: tensor.reshape(-1)[corners], granularity)


def _blocks(groups: Tensor) -> Shape:
    """The largest blocks that tile the tensor and hold one group each."""
    return tuple(_block(groups.movedim(axis, 0)) for axis in range(groups.dim()))


def _block(groups: Tensor) -> int:
    """The largest divisor of the first dimension at whose multiples alone the group changes."""
    rows = groups.reshape(len(groups), -1)
    changes = (rows[1:] != rows[:-1]).any(1).nonzero().flatten().tolist()
    return gcd(len(groups), *(1 + place for place in changes))


def _granularity(own: Granularity, blocks: Shape, shape: Shape, rank: int) -> Granularity:
    """`own` where its blocks lie within `blocks`, else the plainest granularity of exactly those."""
    kept = _blocks_of(own, shape) if isinstance(own, FROM_THE_END) or len(shape) == rank else None
    if kept is not None and all(whole % part == 0 for whole, part in zip(blocks, kept, strict=True)):
        return own
    axes = (PerAxis(axis) for axis in range(len(shape)))
    groups = (PerGroup(blocks[-1]),) if blocks else ()
    plain = (PerTensor(), *axes, *groups)
    return next((granularity for granularity in plain if _blocks_of(granularity, shape) == blocks), PerBlock(blocks))


def _blocks_of(granularity: Granularity, shape: Shape) -> Shape | None:
    """The blocks that a granularity means for a shape, or None where it means none."""
    try:
        return granularity.block_shape(shape)
    except ValueError:
        return None
