"""The command that runs a cell again is one a shell takes as it stands."""

import shlex

import pytest

from parity.rerun import rerun


@pytest.mark.parametrize(
    ("cell", "words"),
    [
        ("default", ["parity", "replay", "default"]),
        ("dtype:bf16,scale:bf16", ["parity", "replay", "dtype:bf16,scale:bf16"]),
        ("test_x.py::test_y[bf16-random]", ["pytest", "test_x.py::test_y[bf16-random]"]),
        ("test_x.py::test_y #12", ["pytest", "test_x.py::test_y"]),
        ("no; rm -rf cell", ["parity", "replay", "no; rm -rf cell"]),
        ("a::'; exit", ["pytest", "a::'; exit"]),
    ],
)
def test_the_command_is_of_the_cells_own_kind(cell: str, words: list[str]) -> None:
    assert shlex.split(rerun(cell)) == words
