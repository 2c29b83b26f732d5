"""Round trips of groups of two: every ordered pair, or every finite float32 beside a few values; fused kernels too."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from kernels.availability import missing_triton
from parity.proving.claim import Claim, Step
from parity.proving.counter import LanesCounter
from parity.proving.lane import ROUND_TRIP
from parity.proving.party import Party, other_party, party_of
from parity.proving.prove import prove
from parity.proving.space import space_of
from quant import Mapping, ZeroPointDomain
from suites.cli_runs import own_folder, refused
from suites.proof_parts import part_of

ENGINE = party_of(["engine"], "engine")
KINDS: tuple[dict[str, Any], ...] = (
    {},
    {"bits": 8, "mapping": Mapping.ASYMMETRIC},
    {"mapping": Mapping.SYMMETRIC_NO_CLIPPING, "scale": "fp32"},
    {"domain": ZeroPointDomain.FLOAT, "dtype": "fp16", "scale": "fp16"},
    {"domain": ZeroPointDomain.NONE, "bits": 2},
)


def round_trip(against: str = "fused", a: Party = ENGINE, **values: Any) -> Claim:
    return Claim(step=Step.ROUND_TRIP, a=a, b=other_party(against, a), **values)


def test_two_rule_sets_part_in_a_code_of_a_group() -> None:
    """Codes that are cut fall towards zero; scale and zero point are the same."""
    claim = round_trip(
        "engine", party_of(["code_rounding=truncate"], "engine"), dtype="fp32", scale="fp32", beside=(1.0,)
    )
    space = space_of(claim)
    assert space.sentence == "4,278,190,080 finite float32 inputs, each in a group of two with 0x1p+0"
    part = range(part_of(0.125), part_of(0.125) + 1)  # of a scale of 1/7.5
    assert LanesCounter.of(claim).count(part).n_different > 0
    (block,) = space.blocks(part)
    a, b = (lane(block) for lane in (LanesCounter.of(claim).a, LanesCounter.of(claim).b))
    unequal = {name for name, x, y in zip(ROUND_TRIP, a, b, strict=True) if not torch.equal(x, y)}
    assert {"code 0", "dequantized 0"} <= unequal
    assert not unequal & {"scale", "zero_point"}


@pytest.mark.nightly
@pytest.mark.parametrize("values", KINDS, ids=str)
def test_a_share_of_the_compiled_path_is_the_plain_one(values: dict[str, Any]) -> None:
    counter, n = LanesCounter.of(round_trip(**values)), space_of(round_trip(**values)).slices
    for first in (0, n // 3, n - 2):
        assert counter.count(range(first, first + 2)).differing == ()


@pytest.mark.gpu
@pytest.mark.parametrize("values", KINDS, ids=str)
def test_the_fused_kernel_is_the_eager_path_on_every_group(values: dict[str, Any]) -> None:
    reason = missing_triton()
    if reason is not None:
        pytest.skip(reason)
    proof = prove(round_trip(**values), device="cuda")
    assert proof.proved, proof.sentence
    n = 65_280 if values.get("dtype", "bf16") == "bf16" else 63_488
    assert proof.pairs == n * (n + 1) // 2


def test_words_that_no_round_trip_takes_are_refused(tmp_path: Path) -> None:
    words = ("--step", "round_trip", "--against", "fused")
    with own_folder(tmp_path):
        assert "fused kernels choose the qparams themselves, and the step is quantize; use round_trip" in refused(
            "prove", "engine", "--against", "fused"
        )
        assert "oracle takes single steps" in refused("prove", "engine", *words[:2], "--against", "oracle")
        assert "dtype is 'fp32'; only bf16 and fp16 have few enough" in refused(
            "prove", "engine", *words, "--dtype", "fp32"
        )
        assert "the step quantize has no groups of two; leave --beside out" in refused(
            "prove", "code_dtype=input", "--beside", "1"
        )
        assert "round_trip makes scales of its own; leave --at-scale out" in refused(
            "prove", "engine", *words, "--at-scale", "1"
        )
        assert "no fused kernel covers these rules" in refused("prove", "torchao", *words)
