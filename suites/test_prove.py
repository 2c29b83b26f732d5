"""Proofs: every operand once, counts that are exact, records that are read back as they were written."""

from __future__ import annotations

from collections import Counter as Counts
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from parity.backends.functions import Functions
from parity.proof import Proof, read_proofs, write_proof
from parity.proving.claim import Claim, Step
from parity.proving.claims import claims_of
from parity.proving.counter import LanesCounter
from parity.proving.operands import finite_values, positive_scales, telling_zero_points
from parity.proving.party import Party, black_box, other_party, party_of
from parity.proving.prove import counter_for, prove
from parity.proving.space import space_of
from parity.proving.sweep import swept
from parity.setting import Environment
from parity.whole_file import StoreError
from quant import Mapping, ZeroPointDomain

ENGINE, TORCHAO = party_of(["engine"], "engine"), party_of(["torchao"], "torchao")
FLOAT, INT, NONE = ZeroPointDomain.FLOAT, ZeroPointDomain.INT, ZeroPointDomain.NONE


def against_oracle(party: Party, step: Step, **values: Any) -> Claim:
    return Claim(step=step, a=party, b=other_party("oracle", party), **values)


# --- operands ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("dtype", "finite", "positive"), [("bf16", 65_280, 32_639), ("fp16", 63_488, 31_743)])
def test_every_finite_value_stands_once_in_order(dtype: str, finite: int, positive: int) -> None:
    torch_dtype = {"bf16": torch.bfloat16, "fp16": torch.float16}[dtype]
    values, scales = finite_values(torch_dtype), positive_scales(torch_dtype)
    assert (len(values), len(scales)) == (finite, positive)
    assert len(values.view(torch.int16).unique()) == finite
    assert bool(values.isfinite().all())
    assert bool((values[1:].double() >= values[:-1].double()).all())
    assert str(values[finite // 2 - 1].item()) == "-0.0"
    assert str(values[finite // 2].item()) == "0.0"
    assert torch.equal(scales, values[finite // 2 + 1 :])


def test_wide_dtypes_are_refused() -> None:
    with pytest.raises(ValueError, match=r"^the dtype is float32; only bfloat16 and float16 have few enough values"):
        finite_values(torch.float32)


def test_zero_points_that_tell() -> None:
    assert telling_zero_points(-8, 7) == (-8, -7, -1, 0, 1, 7)
    assert telling_zero_points(0, 15) == (0, 1, 15)
    assert telling_zero_points(-2, 1) == (-2, -1, 0, 1)


def test_triangle_holds_each_ordered_pair_once() -> None:
    claim = against_oracle(ENGINE, Step.CHOOSE_QPARAMS)
    space = replace(space_of(claim), values=finite_values(torch.bfloat16)[::1088])  # 60 values
    seen = Counts[tuple[float, float]]()
    for block in space.blocks(range(space.slices)):
        seen.update(zip(*block.values.view(torch.int16).tolist(), strict=True))
        assert bool((block.values[0].double() <= block.values[1].double()).all())
    assert len(seen) == sum(seen.values()) == 60 * 61 // 2
    assert {block.pairs for block in space.blocks(range(2, 3))} == {60, 62}


def test_a_sweep_counts_every_operand_however_it_is_cut() -> None:
    claim = against_oracle(ENGINE, Step.DEQUANTIZE, zero_points=tuple(range(-8, 8)))
    counter = counter_for(claim)
    tallies = [swept(counter, range(5000), workers) for workers in (1, 3)]
    assert tallies[0] == tallies[1]
    assert tallies[0].pairs == 5000 * 16 * 16
    told: list[tuple[int, int]] = []
    swept(counter, range(5000), progress=lambda done, total: told.append((done, total)))
    assert told == [(2048, 5000), (4096, 5000), (5000, 5000)]


# --- what is proved ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("party", [ENGINE, TORCHAO], ids=["engine", "torchao"])
@pytest.mark.parametrize("dtype", ["bf16", "fp16"])
@pytest.mark.parametrize("domain", [INT, FLOAT, NONE])
def test_lanes_follow_their_declaration(party: Party, dtype: str, domain: ZeroPointDomain) -> None:
    """A share of every proof: scales from the least, from the middle and up to the largest."""
    for step in (Step.QUANTIZE, Step.FAKE_QUANTIZE, Step.DEQUANTIZE):
        claim = against_oracle(party, step, dtype=dtype, scale=dtype, domain=domain)
        counter, n = counter_for(claim), space_of(claim).slices
        for part in (range(4), range(n // 2, n // 2 + 4), range(n - 4, n)):
            assert counter.count(part).differing == ()


@pytest.mark.parametrize("mapping", [Mapping.SYMMETRIC, Mapping.SYMMETRIC_NO_CLIPPING, Mapping.ASYMMETRIC])
def test_chosen_qparams_follow_their_declaration(mapping: Mapping) -> None:
    for party in (ENGINE, TORCHAO):
        counter = counter_for(against_oracle(party, Step.CHOOSE_QPARAMS, mapping=mapping))
        assert [counter.count(range(i, i + 1)).differing for i in (0, 8_000, 16_319)] == [(), (), ()]


@pytest.mark.nightly
@pytest.mark.parametrize("claim", claims_of(ENGINE) + claims_of(TORCHAO), ids=lambda claim: claim.id)
def test_premerge_claims_hold(claim: Claim) -> None:
    proof = prove(claim)
    assert proof.proved, proof.sentence


def test_a_backend_without_functions_is_refused() -> None:
    with pytest.raises(ValueError, match=r"^backend engine has no functions that take a given scale"):
        other_party("backend:engine", ENGINE)


# --- what is refuted -----------------------------------------------------------------------------------------------


def _codes(by_reciprocal: bool) -> Functions:
    """Half-even codes clamped to [-8, 7], kept as floats, so that a NaN is none of them."""

    def quantize(x: Tensor, scale: Tensor, zero_point: Tensor | None, scheme: object) -> Tensor:
        t = x.float() * (1.0 / scale.float()) if by_reciprocal else x.float() / scale.float()
        return t.round_().clamp_(-8, 7)

    return Functions(quantize=quantize)


PLANTED = Claim(
    step=Step.QUANTIZE,
    a=black_box("x * (1/s)", _codes(by_reciprocal=True)),
    b=black_box("x / s", _codes(by_reciprocal=False)),
)


def test_a_planted_reciprocal_is_refuted_where_it_overflows() -> None:
    """The 32 scales up to 2^-128: 1/s is infinite, and 0 * inf is NaN."""
    tally = LanesCounter.of(PLANTED).count(range(40))
    assert (tally.pairs, tally.n_different) == (40 * 65_280, 7_424)
    assert [i for i, _ in tally.differing] == [*range(32)]


@pytest.mark.nightly
def test_a_planted_reciprocal_is_refuted_with_its_count() -> None:
    proof = prove(PLANTED)
    assert (proof.pairs, proof.n_different, proof.parts) == (
        2_130_673_920,
        10_128,
        (("1/scale overflows float32", 7_424),),
    )
    assert proof.witness is not None
    x, scale = (float.fromhex(proof.witness.operands[name]) for name in ("x", "scale"))
    assert scale <= 2.0**-128
    assert proof.witness.a != proof.witness.b
    assert abs(x) < 8 * scale


def test_storing_and_pretending_part_at_the_sign_of_zero_alone() -> None:
    """torchao keeps float codes in prepare; without a zero point, -0.0 survives there."""
    claims = [
        Claim(step=Step.FAKE_QUANTIZE, a=party, b=other_party("stored", party), domain=NONE)
        for party in (ENGINE, TORCHAO)
    ]
    ours, theirs = (LanesCounter.of(claim).count(range(16_256, 16_258)) for claim in claims)
    assert ours.n_different == 0
    x = finite_values(torch.bfloat16).double()
    scales = positive_scales(torch.bfloat16)[16_256:16_258].double()
    negative = torch.signbit(x) & (x.abs() <= scales.unsqueeze(1) / 2)  # -0.0 among them; a tie rounds to it
    assert theirs.n_different == int(negative.sum())


# --- records -------------------------------------------------------------------------------------------------------


def test_a_proof_is_read_back_as_it_was_written(tmp_path: Any) -> None:
    values: Any = {"b": other_party("engine", ENGINE), "scale": "fp16", "bits": 2, "zero_points": (-2, 1)}
    claims = [
        Claim(step=Step.DEQUANTIZE, a=party_of([f"rescale_dtype={value}"], "engine"), **values)
        for value in ("float64", "output")
    ]
    proofs = [prove(claim) for claim in claims]
    assert [proof.proved for proof in proofs] == [True, False]
    for proof in proofs:
        assert write_proof(tmp_path, proof).parent == tmp_path / "proofs"
        assert proof.environment.subject.keys() >= {"engine_commit"}
    assert sorted(read_proofs(tmp_path), key=lambda proof: proof.claim) == sorted(proofs, key=lambda p: p.claim)
    assert proofs[1].witness is not None
    assert proofs[1].witness.sentence in proofs[1].sentence
    (tmp_path / "proofs" / "other.json").write_text('{"schema": 2}')
    with pytest.raises(StoreError, match=r"other\.json is no proof that can be read: its schema is not 1"):
        list(read_proofs(tmp_path))


def test_hostile_names_stay_inside_the_folder() -> None:
    proof = replace(_plain(), claim="../../x:<script>")
    assert "/" not in proof.name
    assert Proof.from_json(proof.to_json()) == proof


def test_a_proof_on_one_device_does_not_replace_that_on_another(tmp_path: Any) -> None:
    proofs = [replace(_plain(), device=device) for device in ("cpu", "cuda", "cuda:triton")]
    for proof in (*proofs, proofs[0]):
        write_proof(tmp_path, proof)
    assert sorted(proof.device for proof in read_proofs(tmp_path)) == ["cpu", "cuda", "cuda:triton"]


def _plain() -> Proof:
    return Proof(
        claim="quantize:a~b:bf16",
        step="quantize",
        a="a",
        b="b",
        dtype="bfloat16",
        scale_dtype="bfloat16",
        zero_point_domain="int",
        bits=4,
        domain="one",
        not_covered=("two",),
        method="three",
        pairs=7,
        n_different=0,
        device="cpu",
        seconds=0.5,
        environment=Environment(setting={"threads": 1}, subject={}),
        made="2026-01-31T00:00:00+00:00",
    )
