"""The page shows every proof of its run with domain and count, a refutation first and open, hostile names as text."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

from parity.proof import Proof, Witness, write_proof
from parity.setting import Environment
from parity.store import RunWriter
from reports.render import write_report
from suites.plain_records import ENVIRONMENT, manifest, pair

PROOF = Proof(
    claim="quantize:engine~oracle:bf16,scale:bf16,int,4bit,z:0",
    step="quantize",
    a="engine",
    b="oracle",
    dtype="bfloat16",
    scale_dtype="bfloat16",
    zero_point_domain="int",
    bits=4,
    domain="65,280 finite bfloat16 inputs x 32,639 positive finite bfloat16 scales x zero point 0",
    not_covered=("inputs that are NaN or infinite", "the grid's other zero points"),
    method="both lanes were run",
    pairs=2_130_673_920,
    n_different=0,
    device="cpu",
    seconds=3.25,
    environment=ENVIRONMENT,
    made="2026-01-31T00:00:00+00:00",
)
REFUTED = replace(
    PROOF,
    claim="<script>alert(1)</script>",
    a="<script>alert(1)</script>",
    n_different=10_128,
    parts=(("1/scale overflows float32", 7_424),),
    witness=Witness(operands={"x": "0x1.8p+0"}, a={"codes": "7"}, b={"codes": "6"}),
    environment=Environment(setting={}, subject={"engine_commit": "ffffffffffff"}),
)


def page_of(directory: Path, *proofs: Proof) -> str:
    writer = RunWriter(directory, manifest())
    writer.write("one", (), (pair(),))
    writer.close()
    for proof in proofs:
        write_proof(directory, proof)
    return write_report(directory).read_text()


def test_a_proof_is_shown_with_domain_and_count(tmp_path: Path) -> None:
    html = page_of(tmp_path / "run", PROOF)
    assert "Of 1 claims 1 are proved, 2,130,673,920 operands in all." in html
    for text in (">proved<", "engine = oracle", PROOF.domain, "inputs that are NaN or infinite; the grid"):
        assert text in html
    assert "cpu, 3.2 s<" in html
    (row,) = json.loads((tmp_path / "run" / "report.json").read_text())["proofs"]
    assert (row["proved"], row["pairs"]) == (True, 2_130_673_920)


def test_a_refutation_stands_first_and_its_text_is_text(tmp_path: Path) -> None:
    html = page_of(tmp_path / "run", PROOF, REFUTED)
    section = html[html.index('id="proofs-title"') :]
    assert "2,130,673,920 operands in all; 1 refuted." in section
    assert section.index(">refuted<") < section.index(">proved<")
    assert "<details open>" in section
    assert "10,128 of 2,130,673,920" in section
    assert "7,424 of them where 1/scale overflows float32; x=0x1.8p+0: codes 7 against 6" in section
    assert "at ffffffffff<" in section
    assert "<script>alert" not in html


def test_a_run_without_proofs_shows_no_section_and_a_broken_one_says_so(tmp_path: Path) -> None:
    assert "proofs-title" not in page_of(tmp_path / "none")
    (tmp_path / "broken" / "proofs").mkdir(parents=True)
    (tmp_path / "broken" / "proofs" / "a.json").write_text("{}")
    assert "a.json is no proof that can be read: its schema is not 1" in page_of(tmp_path / "broken")
