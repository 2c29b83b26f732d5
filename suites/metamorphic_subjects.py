"""Operands of every preset under every rule set, with their stages: what relations between two runs are tried on."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import product

import pytest
import torch
from torch import Tensor

from quant import (
    Mapping,
    TensorScheme,
    choose_qparams,
    dequantize,
    fake_quantize,
    presets,
    quantize,
)
from quant.decisions import EpsTarget, MeanAccumulate
from quant.rule_sets import RULE_SETS
from suites.directed_groups import FLOATS, SIZE, directed, same_bits

PRESETS = (
    presets.int8_dynamic_intx_weight,
    presets.intx_weight_only,
    presets.int8_dynamic_int4_weight,
    presets.xnnpack_recipe,
    presets.int4_weight_only,
    presets.stretched_intx_weight_only,
)
DAILY = ("engine", "torchao")
NAMES = ("scale", "zero_point", "codes", "dequantized", "fake dequantized")
Stages = tuple[Tensor | None, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """One operand of a preset under a rule set, for a dtype, with inputs aimed at it: [rows, 2 groups]."""

    name: str
    rules: str
    scheme: TensorScheme
    dtype: torch.dtype

    @property
    def sums_in_an_order(self) -> bool:
        """Whether its range is a mean that torch sums in an order of its own, which layout and shape decide."""
        native = self.scheme.rules.mean_accumulate is MeanAccumulate.NATIVE
        return native and self.scheme.mapping is Mapping.STRETCHED and self.dtype is torch.float32

    @property
    def x(self) -> Tensor:
        rows = directed(self.scheme, self.dtype)
        if self.scheme.rules.eps_target is EpsTarget.NONE:
            rows = rows[self._in_range(rows)]
        return rows[: len(rows) // 2 * 2].reshape(-1, 2 * SIZE)

    def _in_range(self, rows: Tensor) -> Tensor:
        """Where no scale is replaced, subnormal or infinite: there the relations hold under sets that bound none."""
        scale = choose_qparams(rows, self.scheme).scale
        info = torch.finfo(scale.dtype)
        return ((scale > info.smallest_normal) & (scale < info.max)).all(1)

    def stages(self, x: Tensor) -> Stages:
        """Scale, zero point, codes and values, stored and pretended."""
        quantized = quantize(x, choose_qparams(x, self.scheme))
        qparams = quantized.qparams
        stored = dequantize(quantized, x.dtype)
        return qparams.scale, qparams.zero_point, quantized.codes, stored, fake_quantize(x, self.scheme)


def subjects() -> Iterator[Subject]:
    for preset, rules, dtype in product(PRESETS, RULE_SETS, FLOATS):
        try:
            layer = preset(rules=rules)
        except ValueError:  # the set has another grid's rules
            continue
        for operand, scheme in (("weight", layer.weight), ("input", layer.activation)):
            if scheme is not None:
                name = f"{preset.__name__}-{rules}-{str(dtype).removeprefix('torch.')}-{operand}"
                yield Subject(name=name, rules=rules, scheme=scheme, dtype=dtype)


SUBJECTS = tuple({(subject.scheme, subject.dtype): subject for subject in subjects()}.values())


def over(some: Iterable[Subject]) -> pytest.MarkDecorator:
    """One case a subject; the engine's and torchao's rules for every commit, the other sets at night."""
    cases = [
        pytest.param(subject, id=subject.name, marks=() if subject.rules in DAILY else pytest.mark.nightly)
        for subject in some
    ]
    return pytest.mark.parametrize("subject", cases)


def unlike(a: Stages, b: Stages) -> list[str]:
    return [name for name, one, other in zip(NAMES, a, b, strict=True) if not same_bits(one, other)]


def taken(stages: Stages, take: Callable[[Tensor], Tensor]) -> Stages:
    return tuple(None if stage is None else take(stage) for stage in stages)
