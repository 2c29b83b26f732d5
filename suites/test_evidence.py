"""Evidence is the bytes that were kept, within its limits, or a sentence about what does not fit."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from parity.evidence import MAX_BYTES_PER_TENSOR, EvidenceWriter, Header, evidence_headers, read_evidence
from parity.whole_file import StoreError
from suites.plain_records import EDGE


def header(cell: str = "default", *, signature: str = "s", stage: str = "output") -> Header:
    """Three float32 elements."""
    return Header(
        signature=signature,
        cell=cell,
        edge=EDGE,
        lane="engine:ptq",
        stage=stage,
        dtype="float32",
        shape=(3, 1),
        digest="0123456789abcdef",
    )


DATA = bytes(range(12))


def test_evidence_reads_back(tmp_path: Path) -> None:
    assert EvidenceWriter(tmp_path).keep(header(), DATA)
    (found,) = evidence_headers(tmp_path)
    assert replace(found, crc32=0) == header()
    assert read_evidence(tmp_path, found).data == DATA


def test_evidence_is_limited_by_cells_of_a_signature(tmp_path: Path) -> None:
    writer = EvidenceWriter(tmp_path, max_cells=2)
    kept = [writer.keep(header(cell, stage=stage), DATA) for cell in "abc" for stage in ("output", "weight.scale")]
    assert kept == [True, True, True, True, False, False]
    assert writer.keep(header("c", signature="other"), DATA)
    # A resumed run counts what is there.
    assert not EvidenceWriter(tmp_path, max_cells=2).wants("s", "c")
    assert EvidenceWriter(tmp_path, max_cells=2).wants("s", "a")


def test_evidence_is_limited_by_bytes_of_a_run(tmp_path: Path) -> None:
    writer = EvidenceWriter(tmp_path, max_bytes=30)
    assert [writer.keep(header(cell, signature=cell), DATA) for cell in "abc"] == [True, True, False]
    assert not EvidenceWriter(tmp_path, max_bytes=24).wants("d", "d")


def test_a_large_tensor_is_not_kept(tmp_path: Path) -> None:
    for extra, kept in ((0, True), (1, False)):
        n = MAX_BYTES_PER_TENSOR // 4 + extra
        assert EvidenceWriter(tmp_path).keep(replace(header(), shape=(n,)), bytes(4 * n)) is kept


def test_bytes_that_do_not_fit_the_shape_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"output of default has 11 bytes, but float32 \(3, 1\) takes 12"):
        EvidenceWriter(tmp_path).keep(header(), DATA[:-1])
    with pytest.raises(ValueError, match="the dtype 'float31' is none of"):
        EvidenceWriter(tmp_path).keep(replace(header(), dtype="float31"), DATA)


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        (DATA + b"\0", r"has 13 bytes; float32 \(3, 1\) takes 12"),
        (DATA[:4], r"has 4 bytes; float32 \(3, 1\) takes 12"),
        (b"\1" + DATA[1:], "its header says"),
    ],
)
def test_evidence_that_does_not_fit_its_header_is_refused(tmp_path: Path, data: bytes, sentence: str) -> None:
    EvidenceWriter(tmp_path).keep(header(), DATA)
    (found,) = evidence_headers(tmp_path)
    (tmp_path / "evidence" / f"{found.name}.bin").write_bytes(data)
    with pytest.raises(StoreError, match=sentence):
        read_evidence(tmp_path, found)


def test_sizes_are_compared_before_a_byte_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    EvidenceWriter(tmp_path).keep(header(), DATA)
    (found,) = evidence_headers(tmp_path)

    def read(path: Path) -> bytes:
        raise AssertionError(f"{path} was read")

    monkeypatch.setattr(Path, "read_bytes", read)
    with pytest.raises(StoreError, match="takes 48000000000000"):
        read_evidence(tmp_path, replace(found, shape=(10**12, 12)))


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"schema": 2}, "its schema is 2"),
        ({"dtype": "float31"}, "the dtype 'float31' is none of"),
        ({"shape": [-3, -4]}, "has a negative size"),
        ({"lane": "torchao:ptq"}, "it describes another tensor"),
        ({"more": 1}, "is no evidence header"),
    ],
)
def test_a_foreign_header_is_refused(tmp_path: Path, change: dict[str, object], sentence: str) -> None:
    EvidenceWriter(tmp_path).keep(header(), DATA)
    (path,) = (tmp_path / "evidence").glob("*.json")
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
    with pytest.raises(StoreError, match=sentence):
        evidence_headers(tmp_path)
