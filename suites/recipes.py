"""Recipes: a scheme and a tensor drawn as a few integers, so that what fails shrinks to the plainest choice."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from hypothesis import strategies as st
from torch import Tensor

from parity.counter import normal_like, words
from quant import (
    Mapping,
    PerAxis,
    PerBlock,
    PerGroup,
    PerRow,
    PerTensor,
    PerToken,
    ProductRules,
    TensorScheme,
    ZeroPointDomain,
    rules_named,
)
from quant.granularity import Granularity
from suites.directed_groups import FLOATS

ENGINE = rules_named("engine")[0]
SCALES = ("model", *FLOATS, torch.float64)
INTEGERS = (torch.int8, torch.int16, torch.int32, torch.int64, torch.float32)
GRANULARITIES: tuple[Granularity, ...] = (
    PerGroup(8),
    PerGroup(32),
    PerAxis(0),
    PerAxis(1),
    PerRow(),
    PerTensor(),
    PerToken(),
    PerBlock((2, 16)),
)
EPSES = (ENGINE.default_eps, 1e-6, 2.0**-7, 1e-3)
PRODUCTS = (
    ProductRules().with_values(accumulate="exact"),
    ProductRules().with_values(accumulate="exact", bias_add="after_output_cast"),
    ProductRules(),
    ProductRules().with_values(accumulate="float32_sequential_fma", product_output="via_float16"),
)
ROWS, WIDTH = 4, 32


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """Indices into the tables above; every integer tends to 0, the plainest choice."""

    dtype: int
    bits: int
    unsigned: int
    kind: int  # symmetric, no clipping, asymmetric, each in int; symmetric and no clipping without; float
    scale: int
    zero_point: int
    granularity: int
    eps: int
    narrowed: int  # whether the grid leaves out its least code
    magnitude: int
    seed: int

    def scheme(self) -> TensorScheme:
        """The tensor's scheme: legal by construction."""
        mapping, domain = (
            (Mapping.SYMMETRIC, ZeroPointDomain.INT),
            (Mapping.ASYMMETRIC, ZeroPointDomain.INT),
            (Mapping.SYMMETRIC_NO_CLIPPING, ZeroPointDomain.INT),
            (Mapping.SYMMETRIC, ZeroPointDomain.NONE),
            (Mapping.SYMMETRIC_NO_CLIPPING, ZeroPointDomain.NONE),
            (Mapping.ASYMMETRIC, ZeroPointDomain.FLOAT),
        )[self.kind]
        half = 2 ** (self.bits - 1)
        unsigned = bool(self.unsigned) and domain is not ZeroPointDomain.NONE
        narrowed = self.narrowed if self.bits > 1 else 0
        qmin, qmax = (0, 2 * half - 1) if unsigned else (narrowed - half, half - 1)
        if qmax == 0:
            mapping = Mapping.SYMMETRIC if mapping is Mapping.SYMMETRIC_NO_CLIPPING else mapping
        zero_point: Any = INTEGERS[self.zero_point]
        if unsigned and zero_point is torch.int8:
            zero_point = torch.uint8
        if domain is not ZeroPointDomain.INT:
            zero_point = "model" if domain is ZeroPointDomain.FLOAT else None
        return TensorScheme(
            bits=self.bits,
            qmin=qmin,
            qmax=qmax,
            granularity=GRANULARITIES[self.granularity],
            mapping=mapping,
            preserve_zero=domain is not ZeroPointDomain.FLOAT,
            zero_point_domain=domain,
            zero_point_dtype=zero_point,
            scale_dtype=SCALES[self.scale],
            eps=EPSES[self.eps],
            rules=ENGINE,
        )

    def tensor(self, shape: tuple[int, ...]) -> Tensor:
        """Near-normal numbers, a row of zeros or a constant among them, in binades that fit the dtype."""
        dtype = FLOATS[self.dtype]
        limit = 12 if torch.float16 in (dtype, SCALES[self.scale]) else 100  # no scale overflows
        values = normal_like(words(self.seed, 4 * torch.Size(shape).numel()), torch.float64).reshape(shape)
        if self.seed % 3:
            values.view(-1, shape[-1])[0] = 0.0 if self.seed % 3 == 1 else -0.3
        return torch.ldexp(values, torch.tensor(self.magnitude % (2 * limit + 1) - limit)).to(dtype)


def recipes(**fixed: st.SearchStrategy[int]) -> st.SearchStrategy[Recipe]:
    ranges = {
        "dtype": len(FLOATS) - 1,
        "unsigned": 1,
        "kind": 5,
        "scale": len(SCALES) - 1,
        "zero_point": len(INTEGERS) - 1,
        "granularity": len(GRANULARITIES) - 1,
        "eps": len(EPSES) - 1,
        "narrowed": 1,
        "magnitude": 200,
        "seed": 2**20,
    }
    drawn = {name: st.integers(0, highest) for name, highest in ranges.items()}
    return st.builds(Recipe, bits=st.integers(1, 8), **(drawn | fixed))
