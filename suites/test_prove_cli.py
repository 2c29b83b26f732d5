"""`parity prove`: words become claims, proofs are kept in the run and listed, a refutation exits 1."""

from __future__ import annotations

from pathlib import Path

from suites.cli_runs import facts, own_folder, refused, told

CHEAP = ("--step", "dequantize", "--zero-point", "all")


def test_a_proof_is_told_kept_and_listed(tmp_path: Path) -> None:
    with own_folder(tmp_path):
        said = told("prove", "rescale_dtype=float64", *CHEAP)
        assert said.splitlines()[1].strip() == (
            "proved: engine,rescale_dtype=float64 = engine at dequantize, all 8,355,584 equal"
        )
        assert "16 codes x 32,639 positive finite bfloat16 scales x 16 zero points" in said
        (listed,) = facts("prove", "--list")["proofs"]
        assert listed["proved"]
        assert (listed["pairs"], listed["n_different"], listed["witness"]) == (8_355_584, 0, None)
        assert listed["claim"] in told("prove", "--list")


def test_a_refutation_exits_1_with_count_and_witness(tmp_path: Path) -> None:
    """With a bf16 output and an fp16 scale, a product of fp32 keeps bits that a scale cut to bf16 first has lost."""
    with own_folder(tmp_path):
        said = facts("prove", "rescale_dtype=output", *CHEAP, "--scale", "fp16", "--bits", "2", code=1)
        (refuted,) = said["proofs"]
        assert 0 < refuted["n_different"] < refuted["pairs"] == 4 * 4 * 31_743
        operands, a, b = (refuted["witness"][name] for name in ("operands", "a", "b"))
        scale, code, zero_point = float.fromhex(operands["scale"]), int(operands["code"]), int(operands["zero_point"])
        assert a != b
        assert abs(float.fromhex(b["dequantized"]) - (code - zero_point) * scale) <= abs(
            float.fromhex(a["dequantized"]) - (code - zero_point) * scale
        )
        assert facts("prove", "--list", code=1)["proofs"] == said["proofs"]


def test_a_set_alone_means_its_own_claims(tmp_path: Path) -> None:
    with own_folder(tmp_path):
        proofs = facts("prove", "torchao", "--step", "dequantize", "--dtype", "fp16", "--domain", "none")["proofs"]
    assert [(proof["a"], proof["b"], proof["zero_point_domain"]) for proof in proofs] == [("torchao", "oracle", "none")]


def test_words_that_name_nothing_are_refused(tmp_path: Path) -> None:
    with own_folder(tmp_path):
        assert "'foo' is neither FIELD=VALUE nor a rule set; the named sets are engine" in refused("prove", "foo")
        assert "engine and engine are the same rules" in refused("prove", "engine", "--against", "engine")
        assert "code_division is 'x'; its values are" in refused("prove", "code_division=x")
        assert "torchao and inductor are two rule sets" in refused("prove", "torchao", "inductor", "code_dtype=input")
        assert "dtype is 'fp64'; only bf16 and fp16" in refused("prove", "code_dtype=input", "--dtype", "fp64")
        assert "zero point 9 is not in the grid [-8, 7]" in refused("prove", "code_dtype=input", "--zero-point", "9")
        assert "--zero-point 'x' is no whole number" in refused("prove", "code_dtype=input", "--zero-point", "x")
        assert "'codes' is none of quantize, fake_quantize" in refused("prove", "--step", "codes")
        assert "stored is a way to fake-quantize" in refused("prove", "engine", "--against", "stored")
        assert "code_clamp is none: codes beyond the grid may wrap" in refused(
            "prove", "code_clamp=none", "--against", "oracle"
        )
        assert "no claim of the premerge tier has these values" in refused("prove", "--bits", "7")
        assert "the tier is 'daily'" in refused("prove", "--tier", "daily")
        assert told("prove", "--list").endswith("holds no proofs; `parity prove` makes some\n")
