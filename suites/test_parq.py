"""PARQ's quantizers, maps and optimizer give the bits of torchao.prototype.parq; weights convert to what they are."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import pytest
import torch
from torch import Tensor

from quant import (
    PerRow,
    TensorScheme,
    choose_qparams,
    dequantize,
    fake_quantize,
    presets,
    quantize,
)
from quant.granularity import groups_of
from quant.parq import (
    PiecewiseAffine,
    Schedule,
    levels_of,
    lookup_table,
    max_unif,
    ternary,
    unif,
)
from suites.directed_groups import FLOATS, directed, same_bits
from suites.parq_twins import MAPS, SCHEDULE, needs_torchao, torchaos_maps, torchaos_quantizers


def in_order(levels: tuple[Tensor, ...]) -> Tensor:
    """[groups, levels]"""
    return torch.stack([level.flatten() for level in levels], -1)


# --- quantizers ---------------------------------------------------------------------------------------------------

# Elements of directed groups in which five roundings in D leave the grid, or the tie that one division makes.
LEAVES_ITS_GRID = {("unif", 8, torch.float16), ("max_unif", 8, torch.bfloat16), ("max_unif", 8, torch.float16)}
FIVE_ROUNDINGS = {("unif", 5, torch.bfloat16)}


@needs_torchao
@pytest.mark.parametrize("dtype", FLOATS, ids=str)
@pytest.mark.parametrize(
    ("kind", "bits"),
    [*(("unif", b) for b in (1, 2, 3, 4, 5, 8)), *(("max_unif", b) for b in (2, 3, 4, 8)), ("ternary", 0)],
)
def test_own_quantizers(kind: str, bits: int, dtype: torch.dtype) -> None:
    """Values and levels of groups with ties, ranges over the whole dtype, infinities and NaN."""
    made: dict[str, Callable[[int], TensorScheme]] = {"unif": unif, "max_unif": max_unif}
    scheme = ternary() if kind == "ternary" else made[kind](bits)
    x = directed(scheme, dtype, finite=False)
    values, levels = torchaos_quantizers()[kind].quantize(x.clone(), bits, dim=-1)
    assert same_bits(in_order(levels_of(choose_qparams(x, scheme), dtype)), levels)
    differs = not same_bits(fake_quantize(x, scheme), values)
    assert differs is ((kind, bits, dtype) in LEAVES_ITS_GRID | FIVE_ROUNDINGS)


@needs_torchao
@pytest.mark.parametrize("dtype", FLOATS, ids=str)
@pytest.mark.parametrize("bits", range(1, 8))
def test_torchao_backed_quantizers(bits: int, dtype: torch.dtype) -> None:
    """Those that call torchao's primitives: symmetric, and stretched (which refuses eight bits)."""
    quantizers = torchaos_quantizers()
    stretched = presets.stretched_intx_weight_only(bits=bits, rules="parq").weight
    x = directed(stretched, dtype, finite=False)
    values, levels = quantizers["stretched"](bits).quantize(x.clone(), bits, dim=-1)
    assert same_bits(dequantize(quantize(x, choose_qparams(x, stretched)), dtype), values.reshape(x.shape))
    assert same_bits(in_order(levels_of(choose_qparams(x, stretched), dtype)), levels.reshape(len(x), -1))
    if bits <= 4:
        own = fake_quantize(x, unif(bits))
        held = ~own.isnan()  # the code of a NaN is 0 once it is stored
        assert same_bits(own[held], values.reshape(x.shape)[held])
    whole = presets.intx_weight_only(bits=bits, rules="parq").weight
    x = directed(whole, dtype)
    values, levels = quantizers["torchao"]().quantize(x.clone(), bits, dim=-1)
    stored = quantize(x, choose_qparams(x, whole))
    assert same_bits(dequantize(stored, dtype), values)
    assert same_bits(in_order(levels_of(choose_qparams(x, whole), dtype)), levels)


@pytest.mark.parametrize("dtype", FLOATS, ids=str)
@pytest.mark.parametrize("scale_dtype", ["model", *FLOATS], ids=str)
def test_the_table_form_of_a_stretched_weight(dtype: torch.dtype, scale_dtype: torch.dtype | str) -> None:
    """(s/2) * (2q + 1) has the bits of (q + 1/2) * s."""
    for bits, rules in ((1, "engine"), (2, "torchao"), (4, "engine"), (4, "parq"), (8, "engine")):
        scheme = presets.stretched_intx_weight_only(bits=bits, scale_dtype=scale_dtype, rules=rules, weight_eps=1e-3)
        x = directed(scheme.weight, dtype, finite=False)
        stored = quantize(x, choose_qparams(x, scheme.weight))
        table = lookup_table(stored)
        assert table.table.tolist() == [2 * q + 1 for q in range(-(2 ** (bits - 1)), 2 ** (bits - 1))]
        assert same_bits(table.values(dtype), dequantize(stored, dtype))
    whole = quantize(x, choose_qparams(x, presets.intx_weight_only().weight))
    with pytest.raises(ValueError, match="mapping is symmetric with bits 8; only a stretched grid of at most 8 bits"):
        lookup_table(whole)


# --- maps and schedule --------------------------------------------------------------------------------------------


@needs_torchao
@pytest.mark.parametrize("dtype", FLOATS, ids=str)
@pytest.mark.parametrize("kind", MAPS)
def test_maps(kind: str, dtype: torch.dtype) -> None:
    """Every stage of the schedule, with levels chosen in this step and in an earlier one."""
    scheme = unif(2)
    x = directed(scheme, dtype)
    hard, levels = torchaos_quantizers()["unif"].quantize(x.clone(), 2, dim=-1)
    groups, own = groups_of(PerRow(), tuple(x.shape)), levels_of(choose_qparams(x, scheme), dtype)
    for step in (0, 2, 3, 5, 8, 9, 20):
        for q in (hard, None):
            theirs = x.clone()
            torchaos_maps()[kind].apply_(theirs, None if q is None else q.clone(), levels.float(), step, dim=-1)
            mine = MAPS[kind](x, q, own, groups, step)
            assert same_bits(mine, theirs), (step, q is None)


def test_a_schedule_leaves_one_and_arrives_at_zero() -> None:
    slopes = [SCHEDULE.sigmoid(step, 10.0, 0.5) for step in range(12)]
    assert slopes[:3] == [1.0, 1.0, 1.0]
    assert slopes[9:] == [0.0, 0.0, 0.0]
    assert all(above > below for above, below in pairwise(slopes[2:10]))
    assert [SCHEDULE.progress(step) for step in (0, 2, 9, 30)] == [0.0, 0.0, 1.0, 1.0]
    with pytest.raises(ValueError, match="start is 3 and end is 3; a schedule needs 0 <= start < end"):
        Schedule(start=3, end=3)
    with pytest.raises(ValueError, match="steepness is 0; the slope falls only where it is positive"):
        PiecewiseAffine(schedule=SCHEDULE, steepness=0)


def test_a_map_moves_towards_the_nearer_level_and_never_across() -> None:
    scheme, x = unif(2), torch.linspace(-2, 2, 64).reshape(1, 64)
    groups, levels = groups_of(PerRow(), (1, 64)), levels_of(choose_qparams(x, scheme), torch.float32)
    grid, last = torch.cat([level.flatten() for level in levels]), x
    for step in range(3, 9):
        moved = PiecewiseAffine(schedule=SCHEDULE)(x, None, levels, groups, step)
        distance, before = ((t.flatten()[:, None] - grid).abs().amin(1) for t in (moved, last))
        assert (distance <= before).all()
        last = moved
