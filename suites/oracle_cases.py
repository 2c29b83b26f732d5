"""What the oracle is checked on: schemes of every domain and mapping, rules near a named set, directed groups."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import product
from typing import Any

import torch
from torch import Tensor

from parity.counter import words
from parity.fills import FAMILY_FILLS, Target
from quant import Mapping, PerGroup, Rules, TensorScheme, ZeroPointDomain
from quant.mapping import Extent
from quant.rule_sets import RULE_SETS, stretched
from quant.rules import enumeration_of

GROUP = 16
DTYPES = (torch.float32, torch.bfloat16, torch.float16)
SCALE_DTYPES = (torch.float32, torch.bfloat16, torch.float16, torch.float64)
COMBINATIONS = tuple(product(DTYPES, SCALE_DTYPES))

_ASYMMETRIC = {"mapping": Mapping.ASYMMETRIC}
_FLOAT = {**_ASYMMETRIC, "zero_point_domain": ZeroPointDomain.FLOAT}
_STRETCHED = {"mapping": Mapping.STRETCHED, "extent": Extent.CAPPED_ABS_MEAN, "zero_point_dtype": "model"}
SCHEMES: dict[str, dict[str, Any]] = {
    "symmetric4": {"bits": 4, "qmin": -8, "qmax": 7, "zero_point_dtype": torch.int8},
    "asymmetric8": {**_ASYMMETRIC, "bits": 8, "qmin": -128, "qmax": 127, "zero_point_dtype": torch.int8},
    "float_zero_point8": {**_ASYMMETRIC, "bits": 8, "qmin": -128, "qmax": 127, "zero_point_dtype": "model"},
    "unsigned8": {
        **_ASYMMETRIC, "bits": 8, "qmin": 0, "qmax": 255, "preserve_zero": False, "zero_point_dtype": torch.int32
    },
    "no_clipping4": {
        "bits": 4, "qmin": -8, "qmax": 7, "mapping": Mapping.SYMMETRIC_NO_CLIPPING, "zero_point_dtype": torch.int32
    },
    "odd3": {**_ASYMMETRIC, "bits": 3, "qmin": -3, "qmax": 3, "zero_point_dtype": torch.int64},
    "asymmetric16": {**_ASYMMETRIC, "bits": 16, "qmin": -32768, "qmax": 32767, "zero_point_dtype": torch.int32},
    "none8": {
        "bits": 8, "qmin": -127, "qmax": 127, "zero_point_domain": ZeroPointDomain.NONE, "zero_point_dtype": None
    },
    "float4": {**_FLOAT, "bits": 4, "qmin": 0, "qmax": 15, "preserve_zero": False, "zero_point_dtype": "model"},
    "mean4": {"bits": 4, "qmin": -8, "qmax": 7, "extent": Extent.ABS_MEAN, "zero_point_dtype": torch.int8},
    "stretched1": {**_STRETCHED, "bits": 1, "qmin": -0.5, "qmax": 0.5, "zero_point_dtype": torch.bfloat16},
    "stretched4": {**_STRETCHED, "bits": 4, "qmin": -7.5, "qmax": 7.5},
    "stretched8": {**_STRETCHED, "bits": 8, "qmin": -127.5, "qmax": 127.5, "zero_point_dtype": torch.float32},
    "float4_fp32": {**_FLOAT, "bits": 4, "qmin": 0, "qmax": 15, "zero_point_dtype": torch.float32},
}  # fmt: skip

# A value that excludes another one of its set is tried beside the first of these that lets it stand.
_COMPANIONS: tuple[dict[str, str], ...] = (
    {},
    {"rescale_intermediate": "keep"},
    {"gradient_product": "identity"},
    {"float_code_division": "reciprocal_multiply"},
    {"zero_scale": "one"},
    {"eps_target": "scale"},
    {"code_division": "reciprocal_multiply"},
)


def flips() -> Iterator[tuple[str, str, str]]:
    """(named set, field, value) of every value of every decision that is not the set's own."""
    for name in ("engine", "torchao"):
        for field in Rules.decisions():
            for value in enumeration_of(Rules, field):
                if value != getattr(RULE_SETS[name], field):
                    yield name, field, value


def flipped(name: str, field: str, value: str) -> Rules:
    """The named set with one value in another's place; lossy schemes are computed, so that more of them are legal."""
    for companion in _COMPANIONS:
        try:
            return replace(RULE_SETS[name].with_values(**{**companion, field: value}), refuse_lossy=False)
        except ValueError:
            continue
    raise AssertionError(f"no companion lets {field} be {value} in {name}")


def lenient(name: str) -> Rules:
    return replace(RULE_SETS[name], refuse_lossy=False)


def scheme(name: str, rules: Rules, scale_dtype: torch.dtype) -> TensorScheme | None:
    """The scheme of that name under the rules, in their stretched form where it is; None where they exclude it."""
    try:
        rules = stretched(rules) if SCHEMES[name].get("mapping") is Mapping.STRETCHED else rules
        return TensorScheme(
            **{"granularity": PerGroup(GROUP), "scale_dtype": scale_dtype, "eps": rules.default_eps, **SCHEMES[name]},
            rules=rules,
        )
    except ValueError:
        return None


def directed(aim: TensorScheme, dtype: torch.dtype, *, seed: int = 0, finite: bool = False) -> Tensor:
    """[groups, GROUP]: one group of every fill, ties laid at the scale that `aim` chooses."""
    target = Target(dtype=dtype, scheme=aim.resolved(dtype))
    fills = dict.fromkeys(fill for family in FAMILY_FILLS.values() for fill in family)
    rows = torch.cat([fill(words(101 * seed + i, GROUP), target).to(dtype) for i, fill in enumerate(fills)])
    return rows.nan_to_num(1.0, 2.0, -2.0) if finite else rows
