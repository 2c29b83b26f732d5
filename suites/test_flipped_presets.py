"""Flipping one decision moves every flow and mechanism of every preset that declares it, and all of them alike.

For each preset, each operand and each decision that can act on it, every other value is tried on groups aimed at where
formulas part. Where PTQ moves, prepare and convert must give PTQ's new bits by both mechanisms, stage by stage.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import lru_cache

import pytest
import torch
from torch import Tensor, nn

from parity.backends.engine_stages import trace_of
from parity.trace import Trace, same_bits
from quant import Mechanism, Own, ProductRules, QuantScheme, Rules, calibrate, convert, prepare, presets, quantize_
from quant.frozen import has_frozen_activation
from quant.relevance import relevant
from quant.rules import enumeration_of
from quant.subclass.layers import stages_of
from suites.directed_groups import SIZE, directed

Preset = Callable[..., QuantScheme]
# All whose weights have groups: Burn's have one scale, which few decisions move.
PRESETS: dict[str, Preset] = {
    name: made
    for name, made in inspect.getmembers(presets, inspect.isfunction)
    if inspect.signature(made).return_annotation == "QuantScheme" and "group_size" in inspect.signature(made).parameters
}
DTYPE = torch.bfloat16
SIDES = ("weight", "activation")


def test_every_preset_is_here() -> None:
    assert {"int8_dynamic_intx_weight", "int8_static_intx_weight", "int4_weight_only", "xnnpack_recipe"} <= set(PRESETS)


def declared(preset: Preset, rules: str) -> QuantScheme:
    """The preset, with integer codes in prepare, which is what makes its flows one path on every input."""
    scheme = preset(group_size=SIZE, rules=rules)
    for side in SIDES:
        tensor = getattr(scheme, side)
        if tensor is not None:
            changed = replace(tensor.rules.with_values(code_cast="integer"), refuse_lossy=False)
            scheme = replace(scheme, **{side: replace(tensor, rules=changed)})
    return replace(scheme, product=ProductRules().with_values(accumulate="exact"))


def flips(scheme: QuantScheme) -> Iterator[tuple[str, str, QuantScheme]]:
    """(operand, field=value, the scheme with it) for every decision that acts, and every legal other value."""
    for side in SIDES:
        tensor = getattr(scheme, side)
        if tensor is None:
            continue
        for name in relevant(tensor, DTYPE):
            for member in enumeration_of(Rules, name):
                if member is getattr(tensor.rules, name) or name == "code_cast" or member == "raise":
                    continue
                try:
                    flipped = replace(tensor, rules=tensor.rules.with_values(**{name: member}))
                    flipped.resolved(DTYPE)
                    yield side, f"{name}={member}", replace(scheme, **{side: flipped})
                except ValueError:  # refused with a sentence: suites/test_legality.py
                    continue


@lru_cache(maxsize=8)
def operands(scheme: QuantScheme) -> tuple[Tensor, Tensor]:
    """A weight and an input that aim at the ties of the scheme as it is declared."""
    aims = (scheme.weight, scheme.activation or scheme.weight)
    weight, x = (directed(replace(aim, statistic=Own()), DTYPE)[::3] for aim in aims)
    return weight, x


def layer(weight: Tensor) -> nn.Linear:
    made = nn.Linear(weight.shape[1], weight.shape[0], bias=False, dtype=DTYPE)
    made.weight = nn.Parameter(weight.clone())
    return made


def ptq(scheme: QuantScheme, weight: Tensor, x: Tensor) -> Trace:
    with torch.no_grad():
        return trace_of(quantize_(layer(weight), scheme, batches=[x]).stages(x), DTYPE)


def others(scheme: QuantScheme, weight: Tensor, x: Tensor) -> Iterator[tuple[str, Trace]]:
    """Prepare and convert, by both mechanisms."""
    prepared = prepare(layer(weight), scheme)
    if has_frozen_activation(scheme):
        calibrate(prepared, [x])
    with torch.no_grad():
        yield "prepare", trace_of(prepared.eval().stages(x), DTYPE)
        yield "convert", trace_of(convert(prepared).stages(x), DTYPE)
        if not has_frozen_activation(scheme):  # a wrapped tensor keeps no ranges
            wrapped = prepare(layer(weight), scheme, mechanism=Mechanism.SUBCLASS)
            yield "wrapped", trace_of(stages_of(wrapped, x), DTYPE)
            yield "wrapped, convert", trace_of(convert(wrapped).stages(x), DTYPE)


def moved(a: Trace, b: Trace) -> list[str]:
    """The stages in which two traces differ."""
    names = dict.fromkeys((*a.names, *b.names))
    return [
        name
        for name in names
        if a.find(name) is None or b.find(name) is None or not same_bits(Trace([a[name]]), Trace([b[name]]))
    ]


# What moves the weight of whatever preset, and the input of those that quantize it.
OF_EVERY_WEIGHT = {"qparam_dtype", "scale_rounding", "code_dtype", "code_rounding", "operand_dtype", "eps_target"}
OF_EVERY_INPUT = {"qparam_dtype", "code_dtype", "code_rounding", "operand_dtype", "rescale_dtype", "zero_point_rule"}


@pytest.mark.parametrize("rules", ["engine", pytest.param("torchao", marks=pytest.mark.nightly)])
@pytest.mark.parametrize("name", PRESETS)
def test_a_flip_moves_all_flows_alike(name: str, rules: str) -> None:
    scheme = declared(PRESETS[name], rules)
    weight, x = operands(scheme)
    before = ptq(scheme, weight, x)
    moving: dict[str, set[str]] = {side: set() for side in SIDES}
    for side, text, flipped in flips(scheme):
        after = ptq(flipped, weight, x)
        if not moved(before, after):
            continue
        moving[side].add(text.partition("=")[0])
        for flow, trace in others(flipped, weight, x):
            assert moved(trace, after) == [], (flow, side, text)
    # A scale at eps vanishes beside the largest of these weights, on whose one scale two levels are built.
    lost = set() if scheme.weight.global_scale_dtype is None else {"eps_target"}
    assert moving["weight"] >= OF_EVERY_WEIGHT - lost
    assert moving["activation"] >= OF_EVERY_INPUT or scheme.activation is None
