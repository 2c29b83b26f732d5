"""Small layers whose numbers come from the counter generator, and schemes for them."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from parity.counter import normal_like, words
from quant import PerGroup, ProductRules, QuantScheme, TensorScheme, presets, rules_named

ENGINE = rules_named("engine")[0]
SCHEME = presets.int8_dynamic_intx_weight(group_size=8)


def numbers(shape: tuple[int, ...], dtype: torch.dtype = torch.float32, seed: int = 0) -> Tensor:
    return normal_like(words(seed, 4 * torch.Size(shape).numel()), dtype).reshape(shape)


def linear(bias: bool = True, dtype: torch.dtype = torch.float32, seed: int = 1) -> nn.Linear:
    made = nn.Linear(16, 4, bias=bias, dtype=dtype)
    made.weight = nn.Parameter(numbers((4, 16), dtype, seed))
    if bias:
        made.bias = nn.Parameter(numbers((4,), dtype, seed + 1))
    return made


def embedding(dtype: torch.dtype = torch.float32, padding_idx: int | None = None) -> nn.Embedding:
    return nn.Embedding.from_pretrained(numbers((5, 16), dtype), freeze=False, padding_idx=padding_idx)


def layer_scheme(**changes: Any) -> QuantScheme:
    values: dict[str, Any] = {"bits": 4, "qmin": -8, "qmax": 7, "granularity": PerGroup(8)}
    weight = TensorScheme(**(values | {"eps": 1e-6, "rules": ENGINE} | changes))
    return QuantScheme(weight=weight, product=ProductRules().with_values(accumulate="exact"))
