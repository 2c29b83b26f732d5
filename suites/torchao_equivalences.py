"""torchao 0.18's own equivalence tests as pairs of lanes: its combinations, and what each pair of them gives.

The tests hold outputs against each other by SQNR; here the traces of both flows are compared bit for bit. Where its
tests told the fake quantizer of an activation the weight's scale dtype, so does the pair here.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import product
from typing import Final

import torch

from parity.backends.torchao import Torchao8da4wBackend, TorchaoBackend
from parity.diff import diff_traces
from parity.explain import explain_pair
from parity.explanation import Explanation
from parity.lanes import Flow, Lane
from parity.pair import Case, Pair, Side
from quant import EpsOf, EpsProperty, PropertyDtype, QuantScheme, presets
from suites.aimed_layers import INDICES, layer_for, tokens_for

DTYPES: Final = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
COLUMNS: Final = 256
_FLOAT32_EPS: Final = EpsOf(EpsProperty.EPS, PropertyDtype.FLOAT32)
_BACKENDS: Final = {"torchao": TorchaoBackend(), "torchao_8da4w": Torchao8da4wBackend()}


@dataclass(frozen=True, slots=True, kw_only=True)
class Equivalence:
    """One combination of one of torchao's tests; group None = one scale a channel."""

    test: str
    bits: int
    group: int | None
    scale: str
    dtype: str

    def __str__(self) -> str:
        return f"{self.test}-int{self.bits}-{self.group or 'channel'}-{self.scale}-{self.dtype}"


def _combinations(test: str, bits: range, groups: tuple[int | None, ...]) -> Iterator[Equivalence]:
    for each, group, scale, dtype in product(bits, groups, DTYPES, DTYPES):
        yield Equivalence(test=test, bits=each, group=group, scale=scale, dtype=dtype)


EQUIVALENCES: Final = {
    "linear": tuple(_combinations("linear", range(1, 9), (32, 64, 128))),
    "embedding": tuple(_combinations("embedding", range(1, 9), (32, 128, None))),
    "legacy_linear": tuple(_combinations("legacy_linear", range(4, 5), (32, 64, 128))),
    "legacy_embedding": tuple(_combinations("legacy_embedding", range(4, 5), (32, 128, None))),
}
# The lanes that each test holds against each other, the first against every other.
LANES: Final = {
    "linear": ("torchao:qat_prepare", "torchao:ptq", "torchao:qat_convert"),
    "embedding": ("torchao:qat_prepare", "torchao:ptq", "torchao:qat_convert"),
    "legacy_linear": ("torchao_8da4w:qat_prepare", "torchao_8da4w:qat_convert", "torchao:ptq"),
    "legacy_embedding": ("torchao_8da4w:qat_prepare", "torchao_8da4w:qat_convert", "torchao:ptq"),
}


def compared(combination: Equivalence, other: str, family: str) -> Pair:
    """The test's first lane and another on one layer and input of a family."""
    sides = []
    embedding = combination.test.endswith("embedding")
    told = _scheme(combination, LANES[combination.test][0])
    dtype = DTYPES[combination.dtype]
    layer = layer_for(told, dtype, embedding=embedding, family=family, columns=COLUMNS)
    x = INDICES if embedding else tokens_for(told, dtype, family, COLUMNS)
    for text in (LANES[combination.test][0], other):
        backend, _, flow = text.partition(":")
        lane, scheme = Lane(backend=backend, flow=Flow(flow)), _scheme(combination, text)
        traces = (_BACKENDS[backend].trace(lane, layer, x, scheme),)
        sides.append(Side(lane=lane, scheme=scheme, training=scheme, traces=traces, cases=(Case(layer=layer, x=x),)))
    return Pair(cases=sides[0].cases, a=sides[0], b=sides[1])


def first_stage(pair: Pair) -> str:
    """The first stage at which the two part, or "" where all bits are equal."""
    diffs = diff_traces(pair.a.traces[0], pair.b.traces[0])
    return next((diff.stage for diff in diffs if not diff.identical), "")


def explained(pair: Pair, combination: Equivalence) -> Explanation:
    """Which decisions make the one lane the other."""
    return explain_pair(pair, cell=str(combination), edge=f"{pair.a.lane}~{pair.b.lane}")


def _scheme(combination: Equivalence, lane: str) -> QuantScheme:
    """What the test told that lane."""
    scale = DTYPES[combination.scale]
    if combination.test.endswith("embedding"):
        return presets.intx_weight_only(
            bits=combination.bits, group_size=combination.group, scale_dtype=scale, rules="torchao"
        )
    scheme = presets.int8_dynamic_intx_weight(
        bits=combination.bits, group_size=combination.group, scale_dtype=scale, rules="torchao"
    )
    assert scheme.activation is not None
    if lane.startswith("torchao_8da4w"):
        return replace(scheme, activation=replace(scheme.activation, scale_dtype=torch.float32, eps=_FLOAT32_EPS))
    if lane == "torchao:qat_prepare":
        return replace(scheme, activation=replace(scheme.activation, scale_dtype=scale))
    return scheme
