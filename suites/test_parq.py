"""PARQ's quantizers, maps and optimizer give the bits of torchao.prototype.parq; weights convert to what they are."""

from __future__ import annotations

import copy
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim import SGD, AdamW

from parity.backends.torchao_package import quiet_import, unusable
from parity.counter import normal_like, words
from quant import (
    PerRow,
    TensorScheme,
    choose_qparams,
    dequantize,
    fake_quantize,
    prepare,
    presets,
    quantize,
    quantize_,
)
from quant.granularity import groups_of
from quant.parq import (
    BinaryRelax,
    HardQuantization,
    PiecewiseAffine,
    ProximalMap,
    ProximalOptimizer,
    Schedule,
    levels_of,
    lookup_table,
    max_unif,
    schemes_of,
    ternary,
    unif,
)
from suites.directed_groups import FLOATS, directed, same_bits

needs_torchao = pytest.mark.skipif(unusable() is not None, reason=unusable() or "")
SCHEDULE = Schedule(start=2, end=9)
MAPS: dict[str, ProximalMap] = {
    "hard": HardQuantization(),
    "parq": PiecewiseAffine(schedule=SCHEDULE),
    "relax": BinaryRelax(schedule=SCHEDULE),
}


def torchaos_maps() -> dict[str, Any]:
    with quiet_import():
        from torchao.prototype.parq.optim import ProxBinaryRelax, ProxHardQuant, ProxPARQ
    return {"hard": ProxHardQuant(), "parq": ProxPARQ(2, 9), "relax": ProxBinaryRelax(2, 9)}


def torchaos_quantizers() -> dict[str, Any]:
    with quiet_import():
        from torchao.prototype.parq.quant.uniform import MaxUnifQuantizer, TernaryUnifQuantizer, UnifQuantizer
        from torchao.prototype.parq.quant.uniform_torchao import StretchedUnifTorchaoQuantizer, UnifTorchaoQuantizer
    return {
        "unif": UnifQuantizer(),
        "max_unif": MaxUnifQuantizer(),
        "ternary": TernaryUnifQuantizer(),
        "stretched": StretchedUnifTorchaoQuantizer,
        "torchao": UnifTorchaoQuantizer,
    }


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


# --- the optimizer ------------------------------------------------------------------------------------------------


def drawn(seed: int, like: Tensor) -> Tensor:
    return normal_like(words(seed, 4 * like.numel()), like.dtype).reshape(like.shape)


def weights(dtype: torch.dtype) -> nn.Parameter:
    return nn.Parameter(drawn(1, torch.empty(16, 64, dtype=dtype)))


@needs_torchao
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
@pytest.mark.parametrize("kind", MAPS)
@pytest.mark.parametrize(
    ("warmup", "period", "shrink", "adam"), [(0, 1, False, False), (2, 3, False, True), (1, 2, True, False)]
)
def test_twelve_steps_of_the_optimizer(
    kind: str, dtype: torch.dtype, warmup: int, period: int, shrink: bool, adam: bool
) -> None:
    """Weights and latent weights after every step, with gradients that are drawn."""
    with quiet_import():
        from torchao.prototype.parq.optim import QuantOptimizer
        from torchao.prototype.parq.quant.uniform_torchao import StretchedUnifTorchaoQuantizer
    scheme = presets.stretched_intx_weight_only(bits=2, group_size=32, rules="parq").weight
    mine, theirs = weights(dtype), weights(dtype)
    make: Any = AdamW if adam else SGD
    own = ProximalOptimizer(
        make([mine], lr=0.5), {mine: scheme}, MAPS[kind], warmup_steps=warmup, period=period, shrink=shrink
    )
    foreign = QuantOptimizer(
        make([{"params": [theirs], "quant_bits": 2, "quant_block_size": 32}], lr=0.5),
        StretchedUnifTorchaoQuantizer(2),
        torchaos_maps()[kind],
        warmup_steps=warmup,
        quant_period=period,
        quant_per_channel=True,
        quant_shrink=shrink,
    )
    for step in range(12):
        mine.grad, theirs.grad = drawn(step + 2, mine), drawn(step + 2, theirs)
        own.step()
        foreign.step()
        assert same_bits(mine, theirs), step
    assert own.steps == 12
    own.restore_latent()
    foreign.restore_latent_params()
    assert same_bits(mine, theirs)


@pytest.mark.parametrize("kind", MAPS)
@pytest.mark.parametrize("rules", ["engine", "parq"])
def test_convert_is_quantize_of_the_latent_weights(kind: str, rules: str) -> None:
    scheme = presets.stretched_intx_weight_only(bits=3, rules=rules)
    model = nn.Sequential(nn.Linear(64, 32), nn.Linear(32, 32, bias=False))
    optimizer = ProximalOptimizer(SGD(model.parameters(), lr=0.1), schemes_of(model, scheme.weight), MAPS[kind])
    x = drawn(7, torch.empty(8, 64))
    for _ in range(5):
        optimizer.zero_grad()
        model(x).square().sum().backward()
        optimizer.step()
    latent = nn.Sequential(nn.Linear(64, 32), nn.Linear(32, 32, bias=False))
    optimizer.restore_latent()
    latent.load_state_dict(model.state_dict())
    twin, converted = quantize_(latent, scheme), optimizer.convert(model, scheme)
    for one, other, given in zip(twin, converted, (x, drawn(8, torch.empty(8, 32))), strict=True):
        a, b = one.stages(given), other.stages(given)
        assert same_bits(a.weight.codes, b.weight.codes)
        for name in ("scale", "zero_point"):
            assert same_bits(getattr(a.weight.qparams, name), getattr(b.weight.qparams, name))
        assert same_bits(a.weight.dequantized, b.weight.dequantized)
        assert same_bits(a.output, b.output)
    with pytest.raises(ValueError, match="the weights were trained for TensorScheme"):
        optimizer.convert(model, presets.intx_weight_only())


def test_hard_steps_are_straight_through_training() -> None:
    """HardQuantization under the rules `parq` is prepare with gradients that pass everywhere."""
    scheme = presets.stretched_intx_weight_only(bits=2, rules="parq")
    x, shape = drawn(3, torch.empty(4, 64)), (8, 64)
    start = drawn(4, torch.empty(shape))
    plain, through = (nn.Linear(64, 8, bias=False) for _ in range(2))
    for layer in (plain, through):
        layer.weight = nn.Parameter(start.clone())
    optimizer = ProximalOptimizer(SGD(plain.parameters(), lr=0.25), {plain.weight: scheme.weight}, HardQuantization())
    plain.weight.grad = torch.zeros(shape)
    optimizer.step()  # from here on the model computes by weights on the grid
    prepared = prepare(through, scheme)
    other = SGD(prepared.parameters(), lr=0.25)
    for step in range(4):
        for model, opt in ((plain, optimizer), (prepared, other)):
            opt.zero_grad()
            output = model(x)
            output.backward(drawn(step + 20, output))
            opt.step()
    assert same_bits(fake_quantize(prepared.weight.detach(), scheme.weight), plain.weight)
    optimizer.restore_latent()
    assert same_bits(prepared.weight, plain.weight)


def test_a_saved_optimizer_goes_on_where_it_stopped() -> None:
    scheme = unif(2)
    first, second = weights(torch.float32), weights(torch.float32)
    optimizers = [
        ProximalOptimizer(SGD([p], lr=0.5, momentum=0.9), {p: scheme}, MAPS["parq"], warmup_steps=1, period=2)
        for p in (first, second)
    ]
    for step in range(8):
        if step == 4:
            optimizers[1].load_state_dict(copy.deepcopy(optimizers[0].state_dict()))
            second.data.copy_(first.data)
        for p, optimizer in zip((first, second), optimizers, strict=True):
            if p is first or step >= 4:
                p.grad = drawn(step, p)
                optimizer.step()
    assert same_bits(first, second)
    assert optimizers[1].steps == 8


@pytest.mark.parametrize("kind", ["hard", "parq", "relax"])
def test_it_trains_onto_the_grid(kind: str) -> None:
    """A regression on correlated inputs, from its float solution: less loss than rounding that solution gives."""
    scheme = presets.stretched_intx_weight_only(bits=2, group_size=None)
    x = drawn(1, torch.empty(256, 6)) @ drawn(5, torch.empty(6, 32))
    solution = drawn(2, torch.empty(4, 32))
    layer, rounded = (nn.Linear(32, 4, bias=False) for _ in range(2))
    for module in (layer, rounded):
        module.weight = nn.Parameter(solution.clone())
    y, schedule = x @ solution.T, Schedule(start=20, end=250)
    maps: dict[str, ProximalMap] = {
        "hard": HardQuantization(),
        "parq": PiecewiseAffine(schedule=schedule),
        "relax": BinaryRelax(schedule=schedule),
    }
    optimizer = ProximalOptimizer(SGD(layer.parameters(), lr=0.002), {layer.weight: scheme.weight}, maps[kind])
    for _ in range(300):
        optimizer.zero_grad()
        F.mse_loss(layer(x), y).backward()
        optimizer.step()
    on_grid = layer.weight.detach().clone()
    loss, before = (F.mse_loss(m(x), y).item() for m in (optimizer.convert(layer, scheme), quantize_(rounded, scheme)))
    assert loss < before
    assert all(len(row.unique()) <= 4 for row in on_grid)


def test_what_it_refuses() -> None:
    p, stranger = weights(torch.float32), weights(torch.float32)
    with pytest.raises(ValueError, match="1 of 1 parameters to quantize are not among those that the base optimizer"):
        ProximalOptimizer(SGD([p], lr=1.0), {stranger: unif(2)}, HardQuantization())
    with pytest.raises(ValueError, match="0 of 0 parameters to quantize are not among those"):
        ProximalOptimizer(SGD([p], lr=1.0), {}, HardQuantization())
    with pytest.raises(ValueError, match="warmup_steps is 0 and period is 0; use a warmup of 0 or more steps and a"):
        ProximalOptimizer(SGD([p], lr=1.0), {p: unif(2)}, HardQuantization(), period=0)
