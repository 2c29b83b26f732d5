"""The rule set `torchao` is torchao: its affine primitives, on every 16-bit operand at night, on a share by day."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from parity.proving.claim import Claim, Step
from parity.proving.counter import LanesCounter
from parity.proving.party import other_party, party_of
from parity.proving.prove import prove
from parity.proving.space import space_of
from quant import Mapping, ZeroPointDomain

pytest.importorskip("torchao", reason="torchao is not installed")

TORCHAO = party_of(["torchao"], "torchao")
FLOAT, INT, NONE = ZeroPointDomain.FLOAT, ZeroPointDomain.INT, ZeroPointDomain.NONE


@pytest.mark.parametrize("domain", [INT, FLOAT, NONE])
def test_the_torchao_set_is_the_package(domain: ZeroPointDomain) -> None:
    """Its affine primitives, by what `--against backend:torchao` runs on every operand."""
    pytest.importorskip("torchao", reason="torchao is not installed")
    package = other_party("backend:torchao", TORCHAO)
    for step in (Step.QUANTIZE, Step.DEQUANTIZE, Step.CHOOSE_QPARAMS):
        claim = Claim(step=step, a=TORCHAO, b=package, domain=domain)
        counter, n = LanesCounter.of(claim), space_of(claim).slices
        for first in (0, n // 2, n - 2):
            assert counter.count(range(first, first + 2)).differing == ()
        if step is Step.QUANTIZE:
            other = replace(claim, a=party_of(["torchao", "code_rounding=half_away"], "torchao"))
            assert LanesCounter.of(other).count(range(n // 2, n // 2 + 2)).n_different > 0


@pytest.mark.nightly
@pytest.mark.parametrize("dtype", ["bf16", "fp16"])
@pytest.mark.parametrize(
    "values",
    [
        {"step": Step.QUANTIZE, "zero_points": (-8,)},
        {"step": Step.QUANTIZE, "domain": FLOAT},
        {"step": Step.QUANTIZE, "domain": NONE, "bits": 8},
        {"step": Step.DEQUANTIZE, "bits": 8, "zero_points": tuple(range(-128, 128))},
        {"step": Step.DEQUANTIZE, "domain": FLOAT, "zero_points": (0, 1, 15)},
        {"step": Step.CHOOSE_QPARAMS},
        {"step": Step.CHOOSE_QPARAMS, "mapping": Mapping.ASYMMETRIC, "bits": 8},
        {"step": Step.CHOOSE_QPARAMS, "domain": FLOAT},
    ],
    ids=lambda values: "-".join(str(value) for value in values.values())[:60],
)
def test_every_operand_agrees(values: dict[str, Any], dtype: str) -> None:
    proof = prove(Claim(a=TORCHAO, b=other_party("backend:torchao", TORCHAO), dtype=dtype, scale=dtype, **values))
    assert proof.proved, proof.sentence
