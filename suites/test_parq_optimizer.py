"""PARQ's optimizer: the bits of torchao's after every step, convert = quantize_ of the latent weights; it trains."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.optim import SGD, AdamW

from parity.backends.torchao_package import quiet_import
from quant import (
    fake_quantize,
    prepare,
    presets,
    quantize_,
)
from quant.parq import (
    BinaryRelax,
    HardQuantization,
    PiecewiseAffine,
    ProximalMap,
    ProximalOptimizer,
    Schedule,
    schemes_of,
    unif,
)
from suites.directed_groups import same_bits
from suites.parq_twins import MAPS, drawn, needs_torchao, torchaos_maps, weights


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
