"""Proofs on CUDA: eager lanes and the fused kernel count what the CPU counts; what is not here is refused."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from parity.proving.claim import Claim, Step
from parity.proving.party import other_party, party_of
from parity.proving.prove import counter_for, prove
from quant import ZeroPointDomain

ENGINE = party_of(["engine"], "engine")
FLOAT, INT, NONE = ZeroPointDomain.FLOAT, ZeroPointDomain.INT, ZeroPointDomain.NONE


def against_oracle(step: Step, **values: Any) -> Claim:
    return Claim(step=step, a=ENGINE, b=other_party("oracle", ENGINE), **values)


def test_devices_that_are_not_here_are_refused() -> None:
    claim = against_oracle(Step.QUANTIZE)
    with pytest.raises(ValueError, match=r"^the device is 'tpu'; lanes are run on cpu, cuda, cuda:triton$"):
        prove(claim, device="tpu")
    if not torch.cuda.is_available():
        for device in ("cuda", "cuda:triton"):
            with pytest.raises(ValueError, match=r"no cuda device; use --device cpu$"):
                prove(claim, device=device)


@pytest.mark.gpu
@pytest.mark.parametrize(
    ("flips", "values"),
    [
        (("code_division=reciprocal_multiply", "reciprocal_dtype=code"), {}),
        (("code_division=reciprocal_multiply", "reciprocal_dtype=scale"), {"bits": 8, "zero_points": (-128, 3)}),
        (("code_dtype=input",), {"dtype": "fp16", "scale": "fp16", "domain": NONE}),
        (("code_rounding=half_away",), {"zero_points": (1,)}),
        (("zero_point_add=before_round",), {"zero_points": (1,)}),
    ],
)
def test_eager_and_fused_proofs_on_cuda_are_those_of_the_cpu(flips: tuple[str, ...], values: dict[str, Any]) -> None:
    claim = Claim(step=Step.QUANTIZE, a=party_of(flips, "engine"), b=other_party("engine", ENGINE), **values)
    proofs = [prove(claim, device=device) for device in ("cpu", "cuda", "cuda:triton")]
    facts = [(proof.pairs, proof.n_different, proof.parts, proof.witness) for proof in proofs]
    assert facts[0] == facts[1] == facts[2]
    assert proofs[0].n_different > 0
    assert [proof.device for proof in proofs] == ["cpu", "cuda", "cuda:triton"]


@pytest.mark.gpu
def test_the_kernel_finds_in_all_of_float32_what_eager_lanes_find() -> None:
    """At a subnormal scale 1/s overflows, so that x * (1/s) is infinite where x / s lies within the grid."""
    flipped = party_of(["code_division=reciprocal_multiply", "reciprocal_dtype=code"], "engine")
    given: dict[str, Any] = {"dtype": "fp32", "scale": "fp32", "scales": (2.0**-140, 0.125)}
    claim = Claim(step=Step.QUANTIZE, a=flipped, b=other_party("engine", ENGINE), **given)
    eager, fused = (prove(claim, device=device) for device in ("cuda", "cuda:triton"))
    assert (eager.n_different, eager.parts, eager.witness) == (fused.n_different, fused.parts, fused.witness)
    assert eager.pairs == fused.pairs == 2 * 4_278_190_080
    assert eager.n_different > 0


@pytest.mark.gpu
def test_cuda_lanes_follow_their_declaration() -> None:
    for step in (Step.QUANTIZE, Step.FAKE_QUANTIZE, Step.DEQUANTIZE, Step.CHOOSE_QPARAMS):
        for domain in (INT, FLOAT):
            counter = counter_for(against_oracle(step, domain=domain), "cuda")
            assert counter.count(range(16_000, 16_064)).differing == ()
