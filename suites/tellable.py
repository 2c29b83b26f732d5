"""Which decisions held-out inputs tell: those in which a flip of that field alone moves a bit, to whatever other value.

The inputs are the oracle's schemes on its directed groups, none of which `parity.fingerprint` asks about.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from functools import lru_cache

import torch
from torch import Tensor

from quant import Mapping, PerGroup, Rules, TensorScheme, choose_qparams, dequantize, quantize
from quant.relevance import relevant
from quant.rule_sets import ENGINE, stretched
from quant.rules import enumeration_of
from suites.directed_groups import same_bits
from suites.oracle_cases import COMBINATIONS, GROUP, SCHEMES, directed

# What the three functions show, as `parity.fingerprint` is told it: the rest acts in training and in float codes.
_UNSEEN = frozenset({"code_cast", "gradient_mask", "gradient_product", "float_gradient_product"})

Held = tuple[TensorScheme, Tensor]


def tellable(rules: Rules) -> frozenset[str]:
    """The fields whose every other value that can stand beside the rest of these rules moves a bit of some answer."""
    held = tuple(_held_out(rules))
    return frozenset(name for name in Rules.decisions() if name not in _UNSEEN and _is_told(name, rules, held))


def _is_told(field: str, rules: Rules, held: tuple[Held, ...]) -> bool:
    others = list(_others(field, rules))
    return bool(others) and all(any(_parts(field, other, each) for each in held) for other in others)


def _others(field: str, rules: Rules) -> Iterator[Rules]:
    for member in enumeration_of(Rules, field):
        with suppress(ValueError):  # a value that excludes another decision is no flip of this field alone
            other = rules.with_values(**{field: member})
            if other != rules:
                yield other


def _held_out(rules: Rules) -> Iterator[Held]:
    """Every scheme that has a meaning under the rules, with ties laid at the engine's scale."""
    rules = replace(rules, refuse_lossy=False)
    for dtype, scale_dtype in COMBINATIONS:
        for values in SCHEMES.values():
            with suppress(ValueError):
                scheme = _scheme(tuple(values.items()), rules, scale_dtype)
                scheme.resolved(dtype)
                yield scheme, _values(tuple(values.items()), scale_dtype, dtype)


def _scheme(values: tuple[tuple[str, object], ...], rules: Rules, scale_dtype: torch.dtype) -> TensorScheme:
    return TensorScheme(
        granularity=PerGroup(GROUP), scale_dtype=scale_dtype, eps=ENGINE.default_eps, rules=rules, **dict(values)
    )


@lru_cache(maxsize=512)
def _values(values: tuple[tuple[str, object], ...], scale_dtype: torch.dtype, dtype: torch.dtype) -> Tensor:
    rules = stretched(ENGINE) if ("mapping", Mapping.STRETCHED) in values else ENGINE
    return directed(_scheme(values, replace(rules, refuse_lossy=False), scale_dtype), dtype)


def _parts(field: str, other: Rules, held: Held) -> bool:
    """Whether the flip moves a bit; a scheme that either rules refuse shows nothing."""
    scheme, x = held
    try:
        flipped = replace(scheme, rules=replace(other, refuse_lossy=False))
        if field not in relevant(scheme, x.dtype) and field not in relevant(flipped, x.dtype):
            return False
        return not all(map(same_bits, _answers(scheme, x), _answers(flipped, x)))
    except ValueError:
        return False


@lru_cache(maxsize=4096)
def _answers(scheme: TensorScheme, x: Tensor) -> tuple[Tensor | None, ...]:
    """scale, zero point, codes and dequantized values; codes of a NaN that is refused are those without it."""
    qparams = choose_qparams(x, scheme)
    try:
        quantized = quantize(x, qparams)
    except ValueError:
        return qparams.scale, qparams.zero_point, None, None
    return qparams.scale, qparams.zero_point, quantized.codes, dequantize(quantized, x.dtype)
