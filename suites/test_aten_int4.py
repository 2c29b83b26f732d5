"""ATen's int4 product is the rule set tinygemm_cpu, so that a layer can be trained for the kernel it will meet."""

from __future__ import annotations

import pytest
import torch

import quant
from kernels.availability import missing
from parity.cells import Cell, cell_at, parse_cell
from parity.edges import edges_of, with_kernel
from parity.evaluate import evaluate
from parity.premerge import premerge_parts
from parity.verdicts import Verdict
from quant.layouts.scales import interleave
from quant.packing import Packing
from quant.presets import int4_weight_only
from suites.rationals import same_bits

avx512 = pytest.mark.skipif(
    missing("cpu", layout="cpu_int4(avx512)") is not None, reason=str(missing("cpu", layout="cpu_int4(avx512)"))
)


def cells() -> list[Cell]:
    return [
        cell_at({"preset": "int4_weight_only", "dtype": dtype, "scale": "model", "family": family, "rank": rank})
        for dtype in ("fp32", "bf16", "fp16")
        for family, rank in (("directed", "2"), ("random", "3"), ("outlier", "1"), ("one_sided", "2"))
    ]


@avx512
@pytest.mark.parametrize("cell", cells(), ids=str)
def test_the_kernel_gives_what_prepare_and_ptq_give_under_its_rules(cell: Cell) -> None:
    records = {record.edge: record for record in evaluate([cell]).edges}
    for edge in with_kernel():
        assert edge in edges_of(cell)
        assert records[str(edge)].verdict is Verdict.IDENTICAL, records[str(edge)]


@avx512
def test_without_its_rules_the_layer_is_not_the_kernel() -> None:
    """What QAT under torchao's own rules trains for: other outputs, though scales, zero points and codes agree."""
    layer = torch.nn.Linear(64, 32, bias=False, dtype=torch.bfloat16)
    x = torch.linspace(-3, 3, 8 * 64).reshape(8, 64).bfloat16()
    scheme = int4_weight_only(group_size=32, scale_dtype="model", rules="torchao")
    stored = quant.quantize(layer.weight.detach(), quant.choose_qparams(layer.weight.detach(), scheme.weight))
    assert stored.qparams.zero_point is not None
    packed = Packing.cpu_int4("avx512").pack(stored.codes, 0)
    both = interleave(stored.qparams.scale, stored.qparams.zero_point)
    kernel = torch.ops.aten._weight_int4pack_mm_for_cpu(x, packed, 32, both)
    ours = quant.quantize_(torch.nn.Sequential(layer), scheme)(x)
    assert not same_bits(kernel, ours)


def test_the_premerge_tier_holds_the_kernel_to_its_rules() -> None:
    kernel = with_kernel()[0]
    with_it = [cell for part in premerge_parts() for cell in part.cells if kernel in edges_of(cell)]
    assert {cell["dtype"] for cell in with_it} == {"fp32", "bf16", "fp16"}
    assert with_kernel()[0] not in edges_of(parse_cell("preset:int4_weight_only,dtype:bf16"))


@pytest.mark.gpu
def test_the_cuda_kernel_reads_the_weights_that_tinygemm_cuda_states() -> None:
    weight = torch.randn(64, 256, generator=torch.Generator().manual_seed(1)).bfloat16()
    scheme = int4_weight_only(group_size=32, scale_dtype="model", rules="tinygemm_cuda").weight
    stored = quant.quantize(weight, quant.choose_qparams(weight, scheme))
    assert stored.qparams.zero_point is not None
    words = Packing.cuda_tiled(8).pack(stored.codes, 0).cuda()
    both = interleave(stored.qparams.scale, stored.qparams.zero_point).cuda()
    read = torch.ops.aten._weight_int4pack_mm(torch.eye(256).bfloat16().cuda(), words, 32, both)
    assert same_bits(read.T.contiguous().cpu() + 0.0, quant.dequantize(stored, torch.bfloat16) + 0.0)
