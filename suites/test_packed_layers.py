"""Layers that keep their codes packed: the bits of unpacked ones through flows, state dicts and files, or a refusal."""

from __future__ import annotations

import copy
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn

import quant
from parity.axes import PACKINGS
from parity.cells import illegal_reason
from parity.premerge import premerge_parts
from quant import Packing, QuantScheme
from quant.presets import int4_weight_only, int8_dynamic_int4_weight
from suites.rationals import same_bits

PACKED: list[tuple[QuantScheme, Packing]] = [
    (int4_weight_only(scale_dtype="model"), Packing.cuda_tiled(2)),
    (int4_weight_only(scale_dtype="model"), Packing.cpu_int4("avx2")),
    (int4_weight_only(scale_dtype="model"), Packing.xpu_int4()),
    (int8_dynamic_int4_weight(), Packing.nibbles("high_first")),
]


def model() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Embedding(32, 64), nn.Linear(64, 32)).bfloat16()


@pytest.mark.parametrize(("scheme", "packing"), PACKED, ids=str)
def test_a_packed_model_is_the_unpacked_one(scheme: QuantScheme, packing: Packing, tmp_path: Path) -> None:
    packed_scheme, x = replace(scheme, packing=packing), torch.arange(8)
    plain, packed = quant.quantize_(model(), scheme), quant.quantize_(model(), packed_scheme)
    assert same_bits(plain(x), packed(x))
    converted = quant.convert(quant.prepare(model(), packed_scheme))
    assert same_bits(plain(x), converted(x))
    names = set(packed.state_dict())
    assert {"0.weight_packed", "1.weight_packed"} <= names
    assert not any(name.endswith("weight_codes") for name in names)
    quant.save_quantized(packed, tmp_path / "packed.safetensors")
    loaded = quant.load_quantized(model(), tmp_path / "packed.safetensors")
    assert same_bits(plain(x), loaded(x))
    assert loaded[1].scheme.packing == packing  # type: ignore[index, union-attr]  # a Sequential of layers
    assert same_bits(plain(x), copy.deepcopy(packed)(x))


def test_prepare_refuses_what_convert_could_not_store() -> None:
    scheme = replace(int8_dynamic_int4_weight(), packing=Packing.cuda_tiled(2))
    for flow in (quant.quantize_, quant.prepare):
        with pytest.raises(ValueError, match=r"^zero_point_domain is int; cuda_tiled takes the float domain"):
            flow(model(), scheme)
    with pytest.raises(ValueError, match=r"^zero_point_domain is int"):
        quant.prepare(model(), scheme, mechanism="subclass")


def test_an_unpacked_file_is_not_a_packed_one(tmp_path: Path) -> None:
    scheme = int4_weight_only(scale_dtype="model")
    quant.save_quantized(quant.quantize_(model(), scheme), tmp_path / "plain.safetensors")
    with pytest.raises(ValueError, match="packing"):
        quant.load_quantized(model(), tmp_path / "plain.safetensors", replace(scheme, packing=Packing.xpu_int4()))


def test_every_layout_is_in_the_premerge_tier() -> None:
    """That every reason against one is there, alone, is test_cells' own matter."""
    cells = [cell for part in premerge_parts() for cell in part.cells]
    assert {cell["packing"] for cell in cells if illegal_reason(cell) is None} == {"none", *PACKINGS}
