"""What a run keeps of an explanation: read as it was written, in the page's data and its twin, shown on the cell."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from parity.kept_explanation import KeptExplanation, read_explanations, write_explanation
from parity.whole_file import StoreError
from suites.report_runs import explanation


@pytest.fixture
def kept() -> KeptExplanation:
    """With every field filled in."""
    return explanation("dtype:bf16")


def test_what_is_written_is_read(tmp_path: Path, kept: KeptExplanation) -> None:
    plain = replace(explanation("default"), tie=None, judged=())
    for each in (kept, plain):
        write_explanation(tmp_path, each)
    assert read_explanations(tmp_path) == (plain, kept)
    assert read_explanations(tmp_path / "none") == ()


@pytest.mark.parametrize("broken", ["{", "[]", '{"schema": 2}', '{"schema": 1}'])
def test_a_file_that_is_none_is_told(tmp_path: Path, kept: KeptExplanation, broken: str) -> None:
    path = write_explanation(tmp_path, kept)
    path.write_text(broken)
    with pytest.raises(StoreError, match="is no explanation"):
        read_explanations(tmp_path)
