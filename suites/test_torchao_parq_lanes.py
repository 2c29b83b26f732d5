"""torchao's PARQ as lanes: the engine's bits under the rules parq in every flow, and the eps its converter keeps."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import nn

from parity.backends.protocol import NotExpressible
from parity.backends.torchao_gaps import Wanted
from parity.backends.torchao_package import unusable
from parity.backends.torchao_parq import TorchaoParqBackend, parq_gap
from parity.backends.torchao_parq_cells import PARQ, parq_flows
from parity.cells import Cell, cell_at, illegal_reason
from parity.edges import of_parq
from parity.evaluate import evaluate
from parity.explain import explain
from parity.lanes import Flow, Lane
from parity.premerge import premerge_parts
from parity.schemes import DTYPES, scheme_of
from quant import Mapping, PerTensor, QuantScheme, presets
from quant.mapping import Extent

needs_torchao = pytest.mark.skipif(unusable() is not None, reason=unusable() or "")
STRETCHED = {"preset": "stretched_intx_weight_only", "scale": "model"}


@needs_torchao
@pytest.mark.parametrize("bits", ["1", "2", "3", "4", "7"])
@pytest.mark.parametrize("dtype", list(DTYPES)[:3])
def test_every_flow_has_the_engines_bits_where_the_eps_is_the_converters(dtype: str, bits: str) -> None:
    compared = 0
    for op, group, steps in (("linear", "32", "0"), ("linear", "channel", "3"), ("embedding", "16", "1")):
        cell = cell_at(
            {**STRETCHED, "dtype": dtype, "bits": bits, "op": op, "group": group, "steps": steps, "eps": "input_eps"}
        )
        found = evaluate([cell], of_parq).edges
        assert [(record.edge, record.first_stage) for record in found if record.verdict != "identical"] == []
        compared += len(found)
    assert compared == 18


@needs_torchao
def test_the_converter_keeps_another_eps_than_the_quantizer_trained_with() -> None:
    """torchao #4534 left it out: rows whose range lies below the machine eps of their dtype part at their scale."""
    cell = cell_at({**STRETCHED, "dtype": "bf16"})
    found = {record.edge: record for record in evaluate([cell], of_parq).edges}
    for edge in ("torchao_parq:ptq~torchao_parq:qat_prepare", "torchao_parq:qat_prepare~torchao_parq:qat_convert"):
        assert (found[edge].verdict, found[edge].first_stage) == ("diverged", "weight.scale")
    assert found["torchao_parq:ptq~torchao_parq:qat_convert"].verdict == "identical"
    assert found["torchao_parq:qat_prepare~engine.parq:qat_prepare"].verdict == "identical"
    other = cell.at(eps="input_eps").id
    causes = explain(cell.id, "torchao_parq:qat_prepare~torchao_parq:qat_convert").causes
    assert [(cause.field, cause.value_b) for cause in causes] == [("scheme.eps", "2**-7")], other


def stretched_cells() -> Iterator[Cell]:
    """Legal stretched cells of the premerge tier on cpu."""
    for part in premerge_parts():
        for cell in part.cells:
            if cell["device"] == "cpu" and illegal_reason(cell) is None and "stretched" in cell.id:
                yield cell


def test_the_table_over_cells_says_what_the_backend_does() -> None:
    taken = dict.fromkeys(Flow, 0)
    for cell in stretched_cells():
        if cell["layout"] in ("transposed", "sliced"):
            assert parq_flows(cell) == ()  # strides are no part of a scheme
            continue
        rows, columns = (int(n) for n in cell["shape"].split("x"))
        made = nn.Embedding(rows, columns) if cell["op"] == "embedding" else nn.Linear(columns, rows)
        layer = made.to(DTYPES[cell["dtype"]])
        for flow in parq_flows(cell):
            scheme = scheme_of(cell, "parq")
            wanted = Wanted.of(scheme, layer, backend=PARQ, flow=flow, trained=cell["steps"] != "0")
            assert parq_gap(wanted) is None, (cell.id, flow)
            taken[flow] += 1
    assert min(taken.values()) > 10


def with_weight(**changes: Any) -> QuantScheme:
    scheme = presets.stretched_intx_weight_only(rules="parq")
    return replace(scheme, weight=replace(scheme.weight, **changes))


@pytest.mark.parametrize(
    ("scheme", "sentence"),
    [
        (presets.intx_weight_only(rules="parq"), "the weight is symmetric min_max of 8 bits, but torchao's PARQ"),
        (with_weight(extent=Extent.ABS_MEAN), "the weight is stretched abs_mean of 4 bits"),
        (with_weight(granularity=PerTensor()), r"the weight's granularity is PerTensor\(\), but torchao's PARQ"),
        (with_weight(scale_dtype=torch.float16), "scale_dtype is torch.float16 and zero_point_dtype torch.float32"),
        (
            replace(with_weight(), activation=presets.int8_dynamic_intx_weight(rules="torchao").activation),
            "the activation is quantized, but torchao's PARQ trains weights beside float activations",
        ),
        (replace(with_weight(), output_dtype=torch.float16), "output_dtype is torch.float16, but torchao's layers"),
    ],
)
def test_each_reason_is_a_sentence(scheme: QuantScheme, sentence: str) -> None:
    assert scheme.weight.mapping in Mapping
    lane = Lane(backend=PARQ, flow=Flow.QAT_PREPARE)
    with pytest.raises(NotExpressible, match=f"^{sentence}"):
        TorchaoParqBackend().trace(lane, nn.Linear(64, 32), torch.zeros(2, 64), scheme)
