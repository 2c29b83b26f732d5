"""Layers and tokens laid around the scales that a scheme will choose: the same bits in every process."""

from __future__ import annotations

from functools import lru_cache
from typing import Final

import torch
from torch import Tensor, nn

from parity.counter import normal_like, seed_of, words
from parity.inputs import filled
from quant import QuantScheme, TensorScheme

ROWS, COLUMNS = 32, 64
INDICES: Final = torch.tensor([[0, 31, 5], [5, 7, 30]])

# Every group of a weight gets another kind of value: ties at its stored and unrounded scale and one ulp beside them,
# scales around eps, one-sided, constant and zero groups, outliers, subnormals, the largest finite values, integers.
FAMILY: Final = "directed"


def layer_for(
    scheme: QuantScheme,
    dtype: torch.dtype,
    *,
    embedding: bool = False,
    family: str = FAMILY,
    columns: int = COLUMNS,
) -> nn.Module:
    """A layer of ROWS x columns whose weight is laid around the scheme's own scales."""
    weight = aimed_values("weight", scheme.weight, family, (ROWS, columns), dtype)
    layer = nn.Embedding(ROWS, columns, dtype=dtype) if embedding else nn.Linear(columns, ROWS, dtype=dtype)
    layer.weight = nn.Parameter(weight)
    if isinstance(layer, nn.Linear):
        layer.bias = nn.Parameter(normal_like(words(seed_of(str(dtype), "bias"), 4 * ROWS)[0], dtype))
    return layer.eval()


def tokens_for(scheme: QuantScheme, dtype: torch.dtype, family: str = FAMILY, columns: int = COLUMNS) -> Tensor:
    """Sixteen tokens, one of every kind of the directed family."""
    return aimed_values("input", scheme.activation, family, (16, columns), dtype)


@lru_cache(maxsize=1024)
def aimed_values(
    role: str, scheme: TensorScheme | None, family: str, shape: tuple[int, int], dtype: torch.dtype
) -> Tensor:
    """[rows, columns] values of a family, laid around the scales the scheme will choose."""
    aim = [] if scheme is None else [scheme.resolved(dtype)]
    return filled([seed_of(str(dtype), role)], [family], [0], shape, aim, dtype)[0]
