"""Under quant.fused() every stage and gradient on CUDA has the bits of the plain path on CPU."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import replace

import pytest
import torch

import quant
from parity.axes import FLOATS, LAYER_PRESETS
from parity.cells import Cell, concrete, illegal_reason
from parity.digest import digest
from parity.inputs import make_inputs
from parity.premerge import premerge_parts
from parity.schemes import DTYPES, scheme_of
from quant.fake import fake_operand, quantized_operand
from quant.fused import covered, fused_operand
from quant.granularity import groups_of
from quant.mapping import Extent
from quant.presets import int4_weight_only, int8_dynamic_int4_weight, int8_dynamic_intx_weight


def cells() -> list[Cell]:
    """Legal cells of the engine on CUDA, one of each configuration."""
    chosen = {cell.configuration: cell for part in premerge_parts() for cell in part.cells if cell["device"] == "cuda"}
    return [cell for cell in chosen.values() if illegal_reason(cell) is None and cell["op"] == "linear"]


def weight_covered(cell: Cell) -> bool:
    dtype = DTYPES[cell["dtype"]]
    scheme = scheme_of(cell).weight.resolved(dtype)
    return covered(scheme, dtype, groups_of(scheme.granularity, tuple(map(int, cell["shape"].split("x")))))


def test_what_is_covered() -> None:
    """Of the engine's schemes all but scales in fp64, blocks over several rows, grids of halves and ranges of means."""
    for cell in cells():
        whole = concrete(cell)["mapping"] != "stretched"
        fits = cell["scale"] != "fp64" and cell["group"] != "block" and whole
        assert weight_covered(cell) == fits, cell.id
    mean = replace(int8_dynamic_intx_weight().weight, extent=Extent.ABS_MEAN).resolved(torch.bfloat16)
    assert not covered(mean, torch.bfloat16, groups_of(mean.granularity, (8, 64)))


@pytest.mark.parametrize(
    "rules", ["torchao", quant.rules_named("engine")[0].with_values(code_rounding="half_away")], ids=["torchao", "away"]
)
def test_other_rules_are_not_covered(rules: str | quant.Rules) -> None:
    scheme = int8_dynamic_int4_weight(rules=rules).weight.resolved(torch.bfloat16)
    assert not covered(scheme, torch.bfloat16, groups_of(scheme.granularity, (8, 64)))


@pytest.mark.gpu
@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("preset", LAYER_PRESETS)
def test_every_stage_and_gradient_is_that_of_the_plain_path_on_cpu(preset: str, dtype: str) -> None:
    families = ("directed", "random", "specials", "huge", "subnormal", "eps_edge", "one_sided", "zeros")
    compared = 0
    for cell in cells():
        if (cell["preset"], cell["dtype"]) != (preset, dtype) or not weight_covered(cell):
            continue
        for family in families:
            of_family = cell.at(family=family)
            scheme = scheme_of(of_family)
            inputs = make_inputs([of_family], [scheme])
            operands = [(inputs.weight[0], scheme.weight)]
            if scheme.activation is not None:
                operands.append((inputs.x[0], scheme.activation))
            for x, tensor_scheme in operands:
                plain = quantized_operand(x, tensor_scheme)
                here, there = x.clone().requires_grad_(), x.cuda().requires_grad_()
                prepared = fake_operand(here, tensor_scheme)
                with quant.fused():
                    fused = quantized_operand(there.detach(), tensor_scheme)
                    alone = quant.fake_quantize(there.detach(), tensor_scheme)
                    fused_prepared = fake_operand(there, tensor_scheme)
                gradient = torch.linspace(-2, 3, x.numel(), dtype=x.dtype).reshape(x.shape)
                prepared.dequantized.backward(gradient)
                fused_prepared.dequantized.backward(gradient.cuda())
                pairs = {
                    "scale": (plain.qparams.scale, fused.qparams.scale),
                    "zero point": (plain.qparams.zero_point, fused.qparams.zero_point),
                    "codes": (plain.codes, fused.codes),
                    "dequantized": (plain.dequantized, fused.dequantized),
                    "fake quantized": (plain.dequantized, alone),
                    "prepared": (prepared.dequantized, fused_prepared.dequantized),
                    "gradient": (here.grad, there.grad),
                }
                for stage, (a, b) in pairs.items():
                    assert (a is None) == (b is None)
                    if a is not None and b is not None:
                        assert digest(a) == digest(b), (of_family.id, stage)
                        compared += a.numel()
    assert compared > 10**5


@pytest.mark.gpu
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16], ids=str)
@pytest.mark.parametrize("shape", [(3, 40, 96), (5, 16384), (2, 7, 48)], ids=str)
def test_shapes_that_fill_no_tile(dtype: torch.dtype, shape: tuple[int, ...]) -> None:
    x = torch.randn(shape, generator=torch.Generator().manual_seed(1)).to(dtype)
    for scheme in (int8_dynamic_intx_weight().activation, int4_weight_only(group_size=16).weight):
        assert scheme is not None
        with quant.fused():
            fused = quantized_operand(x.cuda(), scheme)
        plain = quantized_operand(x, scheme)
        assert digest(plain.codes) == digest(fused.codes)
        assert digest(plain.dequantized) == digest(fused.dequantized)


def test_every_preset_is_among_the_cells() -> None:
    assert {cell["preset"] for cell in cells()} >= set(LAYER_PRESETS)


@pytest.mark.gpu
@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("order", ["low_first", "high_first"])
def test_a_layer_is_packed_as_it_is_quantized(order: str, dtype: str) -> None:
    """The bytes of quantize_ on CUDA, whichever passes wrote them, and of an odd number of groups."""
    scheme = replace(int8_dynamic_int4_weight(), packing=quant.Packing.nibbles(order))
    layer = torch.nn.Linear(96, 37, bias=False, dtype=DTYPES[dtype])
    plain = quant.quantize_(torch.nn.Sequential(deepcopy(layer)), scheme)[0]
    with quant.fused():
        in_one = fused_operand(layer.weight.cuda(), scheme.weight, inside=False, packing=scheme.packing)
        fused = quant.quantize_(torch.nn.Sequential(layer.cuda()), scheme)[0]
    assert in_one is not None
    assert in_one.packed is not None, "in the pass that quantizes"
    assert torch.equal(in_one.packed.cpu(), plain.weight_packed)
    for name, stored in plain.named_buffers():
        assert digest(fused.get_buffer(name).cpu()) == digest(stored), name
