"""Packing moves codes and changes none: what is unpacked is what was packed, and a layer keeps every bit of its stages.

Rows and groups in another order carry their bytes along, in the units that a layout keeps together.
"""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

import quant
from quant import Packing, QuantScheme, presets
from quant.layouts.cpu_int4 import BLOCK
from quant.linear import FakeQuantizedLinear, LayerStages, QuantizedLinear
from quant.packing import ORDERS, Layout
from suites.directed_groups import same_bits
from suites.quant_layers import numbers

ROWS, COLUMNS, GROUP = 128, 512, 128
PACKINGS = tuple(Packing(layout, order) for layout, orders in ORDERS.items() for order in orders)
every_packing = pytest.mark.parametrize("packing", PACKINGS, ids=str)


def scheme_for(packing: Packing) -> QuantScheme:
    """A scheme that the layout takes, in bfloat16."""
    if packing.layout is Layout.U32:
        scheme = presets.intx_weight_only(bits=int(packing.order), group_size=GROUP)
    elif packing.layout is Layout.NIBBLES:
        scheme = presets.int8_dynamic_int4_weight(group_size=GROUP)
    else:
        scheme = presets.int4_weight_only(group_size=GROUP, scale_dtype="model")
    return replace(scheme, packing=packing)


def weight_of(seed: int = 0) -> Tensor:
    """[128, 512], whose groups are of unlike sizes, so that every code occurs."""
    sizes = 2.0 ** (torch.arange(ROWS * COLUMNS // GROUP) % 5).reshape(ROWS, -1).repeat_interleave(GROUP, 1)
    return (numbers((ROWS, COLUMNS), torch.float32, seed) * sizes).to(torch.bfloat16)


def codes_for(packing: Packing) -> tuple[Tensor, int]:
    """(the codes of that weight, the lowest that the grid has)."""
    scheme = scheme_for(packing).weight
    weight = weight_of()
    codes = quant.quantize(weight, quant.choose_qparams(weight, scheme)).codes
    return codes, int(scheme.resolved(weight.dtype).code_min)


def in_units(packing: Packing, packed: Tensor) -> Tensor:
    """[units of rows, units of columns, ...]: what a layout keeps together lies behind these two dimensions."""
    if packing.layout is Layout.CPU_INT4:
        block = BLOCK[packing.order]
        return packed.reshape(ROWS // block, COLUMNS, block // 2)
    return packed


def in_order(order: Tensor, size: int) -> Tensor:
    """The places of whole units of `size` in another order."""
    return (order.unsqueeze(1) * size + torch.arange(size)).flatten()


@every_packing
def test_unpacking_gives_what_was_packed(packing: Packing) -> None:
    codes, lowest = codes_for(packing)
    assert len(codes.unique()) > (12 if scheme_for(packing).weight.bits >= 4 else 3)
    packed = packing.pack(codes, lowest)
    assert same_bits(packing.unpack(packed, lowest, codes.dtype), codes)
    assert packed.numel() * packed.element_size() * 8 == codes.numel() * scheme_for(packing).weight.bits
    again = packing.pack(packing.unpack(packed, lowest, codes.dtype), lowest)
    assert same_bits(again, packed)


@every_packing
def test_rows_and_columns_in_another_order_carry_their_bytes_along(packing: Packing) -> None:
    """Whole groups of columns too, which are a multiple of every layout's unit."""
    codes, lowest = codes_for(packing)
    wanted = in_units(packing, packing.pack(codes, lowest))
    rows, columns = (numbers((count,)).argsort().flip(0) for count in wanted.shape[:2])
    row_size, column_size = ROWS // len(rows), COLUMNS // len(columns)
    moved = codes[in_order(rows, row_size)][:, in_order(columns, column_size)]
    assert not torch.equal(moved, codes)
    assert torch.equal(in_units(packing, packing.pack(moved, lowest)), wanted[rows][:, columns])
    assert GROUP % column_size == 0
    swapped = codes.reshape(ROWS, -1, GROUP).flip(1).reshape(codes.shape)
    units = in_order(torch.arange(COLUMNS // GROUP).flip(0), GROUP // column_size)
    assert torch.equal(in_units(packing, packing.pack(swapped, lowest)), wanted[:, units])


@pytest.mark.parametrize("packing", [p for p in PACKINGS if p.layout in (Layout.CPU_INT4, Layout.CUDA_TILED)], ids=str)
def test_rows_within_a_unit_share_bytes(packing: Packing) -> None:
    """Two neighbours that change places leave the bytes of their own unit in no order of rows."""
    codes, lowest = codes_for(packing)
    order = torch.arange(ROWS)
    order[:2] = torch.tensor([1, 0])
    before, after = (in_units(packing, packing.pack(each, lowest)) for each in (codes, codes[order]))
    assert not torch.equal(after[0], before[0])
    assert torch.equal(after[1:], before[1:])


@every_packing
def test_a_packed_layer_has_the_stages_of_an_unpacked_one(packing: Packing) -> None:
    """Stored by PTQ and by convert; prepared, where nothing is packed; and with rows and groups in another order."""
    scheme, x = scheme_for(packing), numbers((5, COLUMNS), torch.bfloat16, 3)
    weight = weight_of()
    wanted = stages(weight, replace(scheme, packing=None), x)
    assert wanted.weight.packed is None
    packed = stages(weight, scheme, x)
    assert unlike(packed, wanted) == []
    codes, lowest = codes_for(packing)
    assert packed.weight.packed is not None
    assert same_bits(packed.weight.packed, packing.pack(codes, lowest))
    prepared = quant.prepare(linear(weight), scheme)
    assert isinstance(prepared, FakeQuantizedLinear)
    with torch.no_grad():
        fake = prepared.eval().stages(x)
    assert unlike(fake, wanted) == []
    converted = quant.convert(prepared)
    assert isinstance(converted, QuantizedLinear)
    assert unlike(converted.stages(x), wanted) == []
    rows = numbers((ROWS,)).argsort()
    columns = in_order(torch.arange(COLUMNS // GROUP).flip(0), GROUP)
    turned = stages(weight[rows][:, columns], scheme, x[:, columns])
    assert same_bits(turned.weight.codes, wanted.weight.codes[rows][:, columns])
    assert same_bits(turned.output, wanted.output[:, rows])


def linear(weight: Tensor) -> nn.Linear:
    layer = nn.Linear(COLUMNS, ROWS, bias=False, dtype=weight.dtype)
    layer.weight = nn.Parameter(weight)
    return layer


def stages(weight: Tensor, scheme: QuantScheme, x: Tensor) -> LayerStages:
    stored = quant.quantize_(linear(weight), scheme)
    assert isinstance(stored, QuantizedLinear)
    with torch.no_grad():
        return stored.stages(x)


def unlike(a: LayerStages, b: LayerStages) -> list[str]:
    """The stages that differ, apart from the bytes of the codes."""
    values = (
        ("scale", a.weight.qparams.scale, b.weight.qparams.scale),
        ("zero_point", a.weight.qparams.zero_point, b.weight.qparams.zero_point),
        ("codes", a.weight.codes, b.weight.codes),
        ("dequantized", a.weight.dequantized, b.weight.dequantized),
        ("output", a.output, b.output),
    )
    return [name for name, one, other in values if not same_bits(one, other)]
