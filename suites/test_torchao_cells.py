"""What torchao cannot be told: the table over cells and the refusal of schemes agree, and each reason is a sentence."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from parity.axes import AXES, LAYER_PRESETS, LAYERS
from parity.backends import torchao_package
from parity.backends.protocol import Backend, NotExpressible
from parity.backends.torchao import Torchao8da4wBackend, TorchaoBackend
from parity.backends.torchao_cells import GAPS, LEGACY, TORCHAO, hard_coded, inexpressible
from parity.backends.torchao_gaps import Wanted, gap
from parity.cells import Cell, cell_at, illegal_reason, parse_cell
from parity.counter import words
from parity.lanes import Flow, Lane, lane
from parity.schemes import DTYPES, scheme_of
from quant import (
    Mapping,
    PerAxis,
    PerGroup,
    PerRow,
    PerTensor,
    PerToken,
    QuantScheme,
    ZeroPointDomain,
    presets,
)

BACKENDS = (TorchaoBackend(), Torchao8da4wBackend())
LANES = tuple((backend.name, flow) for backend in BACKENDS for flow in backend.flows)
# Said of cells alone: torchao is not asked about these.
UNASKED = {
    "op:matmul": "its quantized tensors are operands of layers",
    "preset:burn_3042": "Burn's schemes are compared among Burn's rule sets",
    "accumulate:exact": "its kernels sum as they do",
}
DRAWN = {name: axis.values for name, axis in AXES.items()}
DRAWN |= {"preset": LAYER_PRESETS, "op": LAYERS, "accumulate": ("preset",)}
TRANSPOSED = "a transposed weight is laid out anew, and torch sums the products of other strides in another order"


# --- the table over cells -----------------------------------------------------------------------------------------


def drawn_cells(count: int) -> Iterator[Cell]:
    """Legal cells on cpu, each axis at its default in two draws of five."""
    for seed in range(count):
        drawn = words(seed, 2 * len(AXES))[0].reshape(-1, 2) & (2**62 - 1)
        values = {
            name: DRAWN[name][int(which) % len(DRAWN[name])] if int(moved) % 5 > 1 else axis.default
            for (name, axis), (moved, which) in zip(AXES.items(), drawn.tolist(), strict=True)
        }
        cell = cell_at(values | {"device": "cpu", "layer": AXES["layer"].default})
        if illegal_reason(cell) is None:
            yield cell


def wanted_of(cell: Cell, backend: str, flow: Flow) -> Wanted:
    """What the cell's scheme under the rule set `torchao` wants of a layer of the cell's shape."""
    rows, columns = (int(n) for n in cell["shape"].split("x"))
    made = nn.Embedding(rows, columns) if cell["op"] == "embedding" else nn.Linear(columns, rows)
    layer = made.to(DTYPES[cell["dtype"]])
    return Wanted.of(scheme_of(cell, "torchao"), layer, backend=backend, flow=flow, trained=cell["steps"] != "0")


def test_the_table_over_cells_says_what_the_backends_do() -> None:
    agreed = dict.fromkeys(LANES, 0)
    fired: set[str] = set()
    for cell in drawn_cells(5000):
        if cell["layout"] == "transposed":
            continue  # strides are no part of a scheme
        for backend, flow in LANES:
            by_cell, by_scheme = inexpressible(cell, backend, flow), gap(wanted_of(cell, backend, flow))
            assert (by_cell is None) == (by_scheme is None), f"{cell.id} on {backend}:{flow}: {by_cell} / {by_scheme}"
            agreed[backend, flow] += by_cell is None
            fired.add(by_cell or "")
    assert min(agreed.values()) > 10, "too few cells take part to say anything"
    elsewhere = {"the QAT quantizer has no PTQ", TRANSPOSED, *UNASKED.values()}
    assert fired | elsewhere == {row.reason for row in GAPS} | {""}, "a row that never decides is dead"


@pytest.mark.parametrize(("cell_id", "reason"), UNASKED.items())
def test_what_torchao_is_not_asked(cell_id: str, reason: str) -> None:
    assert {inexpressible(parse_cell(cell_id), backend, flow) for backend, flow in LANES} == {reason}


def test_the_flow_and_the_layout_that_no_scheme_shows() -> None:
    cell = parse_cell("layout:transposed")
    assert inexpressible(cell, LEGACY, Flow.PTQ) == "the QAT quantizer has no PTQ"
    assert inexpressible(cell, LEGACY, Flow.QAT_CONVERT) == TRANSPOSED
    assert inexpressible(cell, LEGACY, Flow.QAT_PREPARE) is None
    assert inexpressible(cell, TORCHAO, Flow.QAT_CONVERT) is None


@pytest.mark.parametrize(
    ("cell_id", "expected"),
    [
        ("default", True),  # eps, at least, is left to torchao
        ("dtype:bf16,aeps:f32eps", True),
        ("aeps:f32eps", False),  # fp32: the model's dtype is what the quantizer has anyway
        ("dtype:bf16,ascale:fp32,aeps:f32eps", False),
        ("preset:int8_dynamic_int4_weight,dtype:fp16", False),
        ("op:embedding", False),
        ("act:none", False),
    ],
)
def test_where_the_legacy_quantizer_puts_its_own_activation(cell_id: str, expected: bool) -> None:
    assert hard_coded(parse_cell(cell_id)) is expected


# --- the sentences ------------------------------------------------------------------------------------------------

DYNAMIC = presets.int8_dynamic_intx_weight(rules="torchao")
WEIGHT_ONLY = presets.intx_weight_only(bits=4, group_size=32, rules="torchao")
EIGHT_DA_FOUR_W = presets.int8_dynamic_int4_weight(rules="torchao")
PTQ, PREPARE = Flow.PTQ, Flow.QAT_PREPARE


def with_weight(scheme: QuantScheme = WEIGHT_ONLY, **changes: Any) -> QuantScheme:
    return replace(scheme, weight=replace(scheme.weight, **changes))


def with_activation(scheme: QuantScheme = DYNAMIC, **changes: Any) -> QuantScheme:
    assert scheme.activation is not None
    return replace(scheme, activation=replace(scheme.activation, **changes))


UNSIGNED = {"qmin": 0, "qmax": 15}
FLOATS = {"zero_point_domain": ZeroPointDomain.FLOAT, "zero_point_dtype": "model", "mapping": Mapping.ASYMMETRIC}
NONE = {"zero_point_domain": ZeroPointDomain.NONE, "zero_point_dtype": None}
REFUSALS = [
    (TORCHAO, PTQ, with_weight(**FLOATS), "the weight's zero_point_domain is float, but"),
    (TORCHAO, PTQ, with_weight(**NONE), "the weight's zero_point_domain is none, but"),
    (TORCHAO, PTQ, with_weight(mapping=Mapping.ASYMMETRIC, preserve_zero=False), "the weight's preserve_zero is False"),
    (TORCHAO, PTQ, with_weight(**UNSIGNED), r"the weight's grid is \[0, 15\]"),
    (TORCHAO, PTQ, with_weight(bits=9, qmin=-256, qmax=255), r"the weight's grid is \[-256, 255\]"),
    *(
        (TORCHAO, PTQ, with_weight(granularity=shared), r"the weight's granularity is Per\w+\(.*\), but torchao scales")
        for shared in (PerTensor(), PerRow(), PerAxis(1))
    ),
    (TORCHAO, PTQ, with_weight(granularity=PerGroup(1)), "one element has a scale of its own"),
    (TORCHAO, PTQ, with_weight(zero_point_dtype=torch.int32), "the weight's zero_point_dtype is torch.int32"),
    (TORCHAO, PTQ, replace(WEIGHT_ONLY, output_dtype=torch.float16), "output_dtype is torch.float16"),
    (TORCHAO, PTQ, with_activation(mapping=Mapping.SYMMETRIC), "the activation's mapping is symmetric"),
    (TORCHAO, PTQ, with_activation(bits=4, qmin=-8, qmax=7), r"the activation is \[-8, 7\] PerToken"),
    (TORCHAO, PTQ, with_activation(granularity=PerTensor()), r"the activation is \[-128, 127\] PerTensor"),
    (TORCHAO, PTQ, with_activation(zero_point_dtype=torch.int32), "the activation's zero_point_dtype is torch.int32"),
    (TORCHAO, PTQ, with_weight(scale_dtype=torch.float64), "the weight's scale_dtype is torch.float64"),
    (TORCHAO, PTQ, with_weight(eps=1e-3), "the weight's eps is 0.001, but torchao's PTQ"),
    (
        TORCHAO,
        PTQ,
        with_activation(scale_dtype=torch.float16),
        "the activation's scale_dtype is torch.float16, but.*PTQ",
    ),
    (TORCHAO, PTQ, with_activation(eps=1e-3), "the activation's eps is 0.001, but torchao's PTQ"),
    (
        TORCHAO,
        PREPARE,
        with_weight(mapping=Mapping.SYMMETRIC_NO_CLIPPING),
        "the weight's mapping is symmetric_no_clipping, but torchao's fake",
    ),
    (LEGACY, PREPARE, WEIGHT_ONLY, "the activation is not quantized"),
    (LEGACY, PREPARE, presets.int8_dynamic_intx_weight(bits=8, rules="torchao"), "the weight has 8 bits"),
    (
        LEGACY,
        PREPARE,
        with_weight(EIGHT_DA_FOUR_W, mapping=Mapping.ASYMMETRIC),
        "the weight's mapping is asymmetric, but the legacy",
    ),
    (LEGACY, PREPARE, with_weight(EIGHT_DA_FOUR_W, eps=1e-3), "the weight's eps is 0.001, but the legacy"),
    (
        LEGACY,
        PREPARE,
        with_activation(EIGHT_DA_FOUR_W, scale_dtype=torch.float16),
        "the activation's scale_dtype is torch.float16, but the legacy",
    ),
    (LEGACY, PREPARE, with_activation(EIGHT_DA_FOUR_W, eps=1e-3), "the activation's eps is 0.001, but the legacy"),
]


@pytest.mark.parametrize(("backend", "flow", "scheme", "sentence"), REFUSALS)
def test_each_reason_is_a_sentence_of_its_own(backend: str, flow: Flow, scheme: QuantScheme, sentence: str) -> None:
    """Refused before torchao is asked, so also where it is not installed."""
    chosen = next(b for b in BACKENDS if b.name == backend)
    with pytest.raises(NotExpressible, match=f"^{sentence}"):
        chosen.trace(Lane(backend=backend, flow=flow), nn.Linear(64, 32), torch.zeros(2, 64), scheme)


def test_training_needs_what_can_be_prepared() -> None:
    scheme = with_weight(mapping=Mapping.SYMMETRIC_NO_CLIPPING)
    with pytest.raises(NotExpressible, match=r"^the weight's mapping is symmetric_no_clipping, but torchao's fake"):
        BACKENDS[0].trace(lane("torchao:ptq"), nn.Linear(64, 32), torch.zeros(2, 64), scheme, steps=1)


@pytest.mark.parametrize("flow", [Flow.PTQ, Flow.QAT_CONVERT])
def test_an_asymmetric_weight_is_not_stored_after_training(flow: Flow) -> None:
    scheme = with_weight(mapping=Mapping.ASYMMETRIC)
    with pytest.raises(NotExpressible, match=r"^the weight's mapping is asymmetric and it is trained"):
        BACKENDS[0].trace(Lane(backend=TORCHAO, flow=flow), nn.Linear(64, 32), torch.zeros(2, 64), scheme, steps=1)


def test_a_single_column_is_a_group_of_one() -> None:
    scheme = with_weight(granularity=PerAxis(0))
    with pytest.raises(NotExpressible, match=r"^one element has a scale of its own"):
        BACKENDS[0].trace(lane("torchao:ptq"), nn.Linear(1, 32), torch.zeros(2, 1), scheme)


@pytest.mark.skipif(torchao_package.unusable() is not None, reason="torchao's own refusal")
def test_weights_that_hold_nan_are_not_converted_by_the_legacy_quantizers() -> None:
    layer = nn.Linear(64, 32)
    layer.weight.data[3, 17] = torch.nan
    with pytest.raises(NotExpressible, match=r"^the weight holds NaN"):
        BACKENDS[1].trace(lane("torchao_8da4w:qat_convert"), layer, torch.zeros(2, 64), EIGHT_DA_FOUR_W)


def test_an_embedding_has_no_activation_to_refuse() -> None:
    for scheme in (with_activation(mapping=Mapping.SYMMETRIC), with_activation(granularity=PerToken(), eps=1e-3)):
        assert gap(Wanted.of(scheme, nn.Embedding(32, 64), backend=TORCHAO, flow=PTQ)) is None


# --- where a lane cannot run --------------------------------------------------------------------------------------


def test_both_are_backends() -> None:
    assert all(isinstance(backend, Backend) for backend in BACKENDS)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("torchao_8da4w:ptq", "torchao_8da4w has no ptq; its flows are qat_prepare, qat_convert"),
        ("torchao.engine:ptq", "torchao follows its own rules, not engine"),
        ("torchao:ptq:cpu:compiled", "torchao's compiled lane is not built"),
    ],
)
def test_lanes_that_never_run_say_why(text: str, sentence: str) -> None:
    asked = lane(text)
    assert next(b for b in BACKENDS if b.name == asked.backend).unrun(asked) == sentence


@pytest.mark.parametrize(
    ("installed", "sentence"),
    [
        (None, "torchao is not installed; `pip install -e '.[torchao]'` adds it"),
        ("0.17.0", "torchao 0.17.0 is installed, but its lanes read the modules of 0.18"),
        ("0.18.1+cpu", None),
    ],
)
def test_without_the_right_torchao_a_lane_is_unrun(
    monkeypatch: pytest.MonkeyPatch, installed: str | None, sentence: str | None
) -> None:
    def version(name: str) -> str:
        if installed is None:
            raise metadata.PackageNotFoundError(name)
        return installed

    monkeypatch.setattr(metadata, "version", version)
    torchao_package.unusable.cache_clear()
    try:
        assert BACKENDS[0].unrun(lane("torchao:ptq")) == sentence
    finally:
        torchao_package.unusable.cache_clear()


@pytest.mark.skipif(torchao_package.unusable() is not None, reason=torchao_package.unusable() or "")
def test_torchao_is_imported_by_the_first_lane_that_runs_and_in_silence(tmp_path: Path) -> None:
    script = """
import sys
import torch
from parity.backends.torchao import Torchao8da4wBackend, TorchaoBackend
from parity.lanes import Lane
from quant import presets
assert "torchao" not in sys.modules
layer, x = torch.nn.Linear(64, 32), torch.ones(2, 64)
dynamic, legacy = presets.int8_dynamic_intx_weight, presets.int8_dynamic_int4_weight
for backend, preset in ((TorchaoBackend(), dynamic), (Torchao8da4wBackend(), legacy)):
    for flow in backend.flows:
        backend.trace(Lane(backend=backend.name, flow=flow), layer, x, preset(rules="torchao"))
assert "torchao" in sys.modules
"""
    house = Path(__file__).resolve().parent.parent
    ran = subprocess.run(
        [sys.executable, "-W", "error", "-c", f"import sys; sys.path.insert(0, {str(house)!r})\n{script}"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, "", "")
