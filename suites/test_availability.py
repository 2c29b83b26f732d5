"""The table of what can run where, on machines that are made up: what is missing is a sentence, and a lane's reason."""

from __future__ import annotations

from dataclasses import replace
from itertools import product

import pytest
import torch

from kernels.availability import LAYOUTS, NEEDS, missing
from kernels.machine import Machine, this_machine
from parity.backends.registry import backend_named
from parity.lanes import DEVICES, MODES, parse_lane
from quant.packing import ORDERS, Layout, Packing

BARE = Machine(
    torch=(2, 11),
    devices=frozenset({"cpu"}),
    cpu="AVX2",
    cuda=None,
    compiler=None,
    has_headers=False,
    has_triton=False,
)
EQUIPPED = Machine(
    torch=(2, 13),
    devices=frozenset(DEVICES),
    cpu="AVX512",
    cuda=(9, 0),
    compiler="/bin/g++",
    has_headers=True,
    has_triton=True,
)
OLD_GPU = replace(EQUIPPED, cuda=(7, 5))

ASKED = [
    (BARE, ("cpu", "eager"), {}, None),
    (BARE, ("cpu", "exported"), {}, None),
    (BARE, ("cpu", "compiled"), {}, "no C++ compiler, which torch.compile needs on cpu"),
    (BARE, ("cpu", "fused"), {}, "no C++ compiler, which torch.compile needs on cpu"),
    (replace(EQUIPPED, has_headers=False), ("cpu", "fused"), {}, "no Python.h, which torch.compile needs on cpu"),
    (EQUIPPED, ("cpu", "fused"), {}, None),
    (EQUIPPED, ("cpu", "triton"), {}, "the triton kernels run on cuda"),
    (BARE, ("cuda", "eager"), {}, "no cuda device"),
    (BARE, ("xpu", "compiled"), {}, "no xpu device"),
    (EQUIPPED, ("cuda", "triton"), {"dtype": torch.bfloat16}, None),
    (OLD_GPU, ("cuda", "triton"), {"dtype": torch.float32}, None),
    (
        OLD_GPU,
        ("cuda", "triton"),
        {"dtype": torch.bfloat16},
        "bfloat16 in Triton needs compute capability 8.0, and this device has 7.5",
    ),
    (replace(EQUIPPED, has_triton=False), ("cuda", "compiled"), {}, "triton is not installed"),
    (replace(EQUIPPED, has_triton=False), ("cuda", "exported"), {}, None),
    (EQUIPPED, ("mps", "fused"), {}, "fused kernels run on cpu and cuda"),
    (EQUIPPED, ("mps", "eager"), {"dtype": torch.float64}, "mps has no float64"),
    (EQUIPPED, ("mps", "eager"), {"dtype": torch.float32}, None),
    (replace(EQUIPPED, torch=(2, 9)), ("cpu", "eager"), {}, "torch is 2.9; 2.11 or newer is needed"),
    (EQUIPPED, ("cpu", "eager"), {"layout": "cpu_int4(avx512)"}, None),
    (
        EQUIPPED,
        ("cpu", "eager"),
        {"layout": "cpu_int4(avx2)"},
        "cpu_int4(avx2) is what AVX2 code reads, and this machine runs AVX512",
    ),
    (BARE, ("cpu", "eager"), {"layout": "cpu_int4(avx2)"}, None),
    (replace(BARE, cpu="DEFAULT"), ("cpu", "eager"), {"layout": "cpu_int4(scalar)"}, None),
    (
        EQUIPPED,
        ("cuda", "eager"),
        {"layout": "cpu_int4(avx512)"},
        "the product that reads cpu_int4(avx512) runs on cpu",
    ),
    (EQUIPPED, ("cuda", "eager"), {"layout": "cuda_tiled(8)"}, None),
    (
        OLD_GPU,
        ("cuda", "eager"),
        {"layout": "cuda_tiled(2)"},
        "the tiled product needs compute capability 8.0, and this device has 7.5",
    ),
    (EQUIPPED, ("xpu", "eager"), {"layout": "xpu_int4"}, None),
    (EQUIPPED, ("cpu", "eager"), {"layout": "xpu_int4"}, "the product that reads xpu_int4 runs on xpu"),
]


@pytest.mark.parametrize(("machine", "where", "what", "sentence"), ASKED)
def test_what_is_missing_is_a_sentence(
    machine: Machine, where: tuple[str, str], what: dict[str, object], sentence: str | None
) -> None:
    assert missing(*where, **what, machine=machine) == sentence


def test_no_row_is_idle() -> None:
    """Each is the first reason of some question on one of the machines."""
    lacking = [replace(EQUIPPED, **lack) for lack in ({"torch": (2, 9)}, {"has_headers": False}, {"has_triton": False})]
    machines = (BARE, EQUIPPED, OLD_GPU, *lacking)
    asked = product(machines, DEVICES, MODES, (torch.float64, torch.bfloat16), (None, *LAYOUTS))
    said = {missing(where, mode, dtype=dtype, layout=layout, machine=m) for m, where, mode, dtype, layout in asked}
    assert [need.missing for need in NEEDS if not said & {need.missing.format(m=m) for m in machines}] == []


def test_the_table_names_the_layouts_that_a_product_reads() -> None:
    read = [Packing(layout, order) for layout in ORDERS for order in ORDERS[layout]]
    assert {*LAYOUTS} == {str(p) for p in read if p.layout not in (Layout.NIBBLES, Layout.U32)}


def test_this_machine_runs_eager_code_on_its_own_devices() -> None:
    here = this_machine()
    assert [device for device in DEVICES if missing(device) is None] == [d for d in DEVICES if d in here.devices]
    assert {mode for mode in MODES if missing("cpu", mode) is None} >= {"eager", "exported"}


@pytest.mark.parametrize(
    ("machine", "lane", "reason"),
    [
        (BARE, "engine:ptq:cpu:fused", "no C++ compiler, which torch.compile needs on cpu"),
        (EQUIPPED, "engine:qat_prepare:cpu:fused", None),
        (BARE, "engine:ptq:cuda", "no cuda device"),
        (EQUIPPED, "engine:ptq:mps", "mps has no float64"),
        (BARE, "aten_int4:ptq", "cpu_int4(avx512) is what AVX512 code reads, and this machine runs AVX2"),
        (EQUIPPED, "aten_int4:ptq", None),
        (EQUIPPED, "aten_int4:ptq:cuda", "the product that reads cpu_int4(avx512) runs on cpu"),
        (EQUIPPED, "aten_int4:ptq:cpu:fused", "aten_int4 has no fused lane"),
        (BARE, "engine_subclass:qat_prepare:xpu", "no xpu device"),
    ],
)
def test_a_lane_is_unrun_for_the_reason_of_the_table(
    monkeypatch: pytest.MonkeyPatch, machine: Machine, lane: str, reason: str | None
) -> None:
    monkeypatch.setattr("kernels.availability.this_machine", lambda: machine)
    named = parse_lane(lane)
    assert backend_named(named.backend).unrun(named) == reason
