"""Proofs at chosen scales: all 4,278,190,080 finite float32 inputs, part by part, or 16-bit ones at a few scales."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from parity.bits import line
from parity.formats import FLOATS
from parity.proof import Proof
from parity.proving.claim import Claim, Step
from parity.proving.counter import LanesCounter
from parity.proving.every import EveryCounter
from parity.proving.lane import lane_of
from parity.proving.operands import Inputs
from parity.proving.oracle_counter import oracle_counter
from parity.proving.party import other_party, party_of
from parity.proving.prove import counter_for, prove
from parity.proving.space import space_of
from quant import ZeroPointDomain
from suites.cli_runs import facts, own_folder, refused
from suites.proof_parts import part_of

ENGINE = party_of(["engine"], "engine")
FLOAT, INT, NONE = ZeroPointDomain.FLOAT, ZeroPointDomain.INT, ZeroPointDomain.NONE
SCALES = (2.0**-149, 2.0**-140 * 1.25, 0.1875, 0.013671875, 2.0**120)


def of_float32(step: Step, against: str = "oracle", **values: Any) -> Claim:
    given: dict[str, Any] = {"dtype": "fp32", "scale": "fp32", "scales": SCALES} | values
    return Claim(step=step, a=given.pop("a", ENGINE), b=other_party(against, ENGINE), **given)


@pytest.mark.parametrize("device", ["cpu", pytest.param("cuda", marks=pytest.mark.gpu)])
def test_parts_hold_each_finite_float32_once_in_order(device: str) -> None:
    """A part ascends by one representable value a step, and the next one goes on where it ends."""
    inputs = Inputs.finite(torch.float32, device)
    assert inputs.total == 2**32 - 2**24 == 2 * FLOATS["float32"].largest
    least, middle = torch.finfo(torch.float32).min, inputs.parts // 2
    assert inputs.part(0)[0].item() == least
    assert inputs.part(inputs.parts - 1)[-1].item() == -least
    assert [str(inputs.part(i)[j].item()) for i, j in ((middle - 1, -1), (middle, 0))] == ["-0.0", "0.0"]
    for i in (0, 1, middle - 2, middle - 1, middle, inputs.parts - 2):
        steps = line(torch.cat([inputs.part(i), inputs.part(i + 1)]) if i + 1 < inputs.parts else inputs.part(i)).diff()
        assert bool((steps == 1).all())


@pytest.mark.parametrize("step", [Step.QUANTIZE, Step.FAKE_QUANTIZE])
@pytest.mark.parametrize("domain", [INT, FLOAT, NONE])
def test_a_share_of_float32_follows_its_declaration(step: Step, domain: ZeroPointDomain) -> None:
    """At each scale the parts next to zero, the first, and the one in which the scale itself lies."""
    claim = of_float32(step, domain=domain, zero_points=(0, 3))
    counter, space = counter_for(claim), space_of(claim)
    parts = space.slices // len(SCALES)
    for i, scale in enumerate(SCALES):
        for j in (0, parts // 2 - 1, parts // 2, part_of(scale)):
            assert counter.count(range(i * parts + j, i * parts + j + 1)).differing == ()


def test_asking_less_counts_what_asking_about_everything_counts_in_float32() -> None:
    claim = of_float32(Step.QUANTIZE, scales=(0.1875,))
    lane = lane_of(claim, party_of(["code_rounding=half_up"], "engine"))
    part = range(part_of(0.09375), part_of(0.09375) + 1)
    found = oracle_counter(claim, lane=lane).count(part)
    assert found == EveryCounter.of(claim, lane=lane).count(part)
    assert found.n_different > 0


def test_dequantize_at_chosen_scales_is_proved_whole() -> None:
    proof = prove(of_float32(Step.DEQUANTIZE, zero_points=tuple(range(-8, 8))))
    assert proof.proved
    assert (proof.dtype, proof.pairs) == ("float32", 16 * 16 * len(SCALES))
    assert proof.domain == (
        "16 codes x float32 scales 0x1p-149, 0x1.4p-140, 0x1.8p-3, 0x1.cp-7, 0x1p+120 x 16 zero points"
    )
    assert proof.not_covered == ("every other scale",)
    assert proof.claim.endswith("fp32,scale:fp32,int,4bit,z:-8..7,s:0x1p-149+0x1.4p-140+0x1.8p-3+0x1.cp-7+0x1p+120")
    assert Proof.from_json(proof.to_json()) == proof


def test_a_witness_lies_at_the_scale_that_is_named() -> None:
    """1/s overflows at the least scale, so that x * (1/s) is infinite where x / s is 1."""
    flipped = party_of(["code_division=reciprocal_multiply", "reciprocal_dtype=code"], "engine")
    claim = Claim(step=Step.QUANTIZE, a=flipped, b=other_party("engine", ENGINE), scales=(2.0**-130, 0.1875))
    proof = prove(claim)
    assert (proof.pairs, proof.n_different) == (2 * 65_280, LanesCounter.of(claim).count(range(1)).n_different)
    assert proof.parts == (("1/scale overflows float32", proof.n_different),)
    assert proof.witness is not None
    assert proof.witness.operands["scale"] == "0x1p-130"


@pytest.mark.nightly
@pytest.mark.parametrize("step", [Step.QUANTIZE, Step.FAKE_QUANTIZE])
def test_every_finite_float32_is_quantized_as_declared(step: Step) -> None:
    proof = prove(of_float32(step, scales=(0.1875,)))
    assert proof.proved, proof.sentence
    assert proof.pairs == 4_278_190_080


def test_words_become_chosen_scales(tmp_path: Path) -> None:
    with own_folder(tmp_path):
        words = ("--step", "dequantize", "--dtype", "fp32", "--at-scale", "0x1.8p-3,1e-3")
        (proof,) = facts("prove", "engine", *words[:-1], "0x1.8p-3,0.5")["proofs"]
        assert (proof["b"], proof["scale_dtype"], proof["pairs"]) == ("oracle", "float32", 2 * 16)
        (proof,) = facts("prove", "rescale_dtype=float64", *words[:-1], "0.5")["proofs"]
        assert proof["b"] == "engine"
        assert "scale 0.001 is no positive finite fp32; the nearest is 0x1.0624dep-10" in refused("prove", *words)
        assert "scale 0.0 is no positive finite fp32; the nearest is 0x1p-149" in refused("prove", *words[:-1], "0")
        assert "--at-scale 'x' is no number" in refused("prove", *words[:-1], "x")
        assert "'fp32', whose scales are too many to try them all; name some" in refused(
            "prove", "code_dtype=input", *words[:4]
        )
        assert "dtype is 'fp32'; only bf16 and fp16 have few enough" in refused(
            "prove", "engine", "--step", "choose_qparams", *words[2:4], "--against", "oracle"
        )
        assert "choose_qparams makes scales of its own; leave --at-scale out" in refused(
            "prove", "engine", "--step", "choose_qparams", "--at-scale", "1"
        )
