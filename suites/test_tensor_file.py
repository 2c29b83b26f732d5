"""Only safetensors is read; everything else is a sentence, told from its name and its first bytes."""

import pickle
from pathlib import Path

import pytest
import torch

from parity.tensor_file import PICKLED, TensorFileError
from parity.weights import layers
from suites.small_layers import ramp, written


@pytest.mark.parametrize("suffix", PICKLED)
def test_a_pickle_is_refused_by_its_name(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"model{suffix}"
    with pytest.raises(TensorFileError, match=rf"model\{suffix} ends in \{suffix}, as pickled tensors do.*save_file"):
        layers(path)


def test_a_pickle_is_refused_by_its_content(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    for protocol in range(2, pickle.HIGHEST_PROTOCOL + 1):
        path.write_bytes(pickle.dumps({"a": [1.0] * 100}, protocol=protocol))
        with pytest.raises(TensorFileError, match="holds pickled tensors, whatever its name says"):
            layers(path)
    torch.save({"a.weight": ramp(2, 32)}, path)
    with pytest.raises(TensorFileError, match="holds pickled tensors, whatever its name says"):
        layers(path)


def test_a_header_whose_length_begins_like_a_pickle_is_no_pickle(tmp_path: Path) -> None:
    source = written(tmp_path, {"a.weight": ramp(2, 32)})
    data = source.weights.read_bytes()
    length = int.from_bytes(data[:8], "little")
    header = data[8 : 8 + length].ljust(0x0280)  # 640 bytes: the first two of the file are 80 02
    source.weights.write_bytes(len(header).to_bytes(8, "little") + header + data[8 + length :])
    assert [layer.name for layer in source.layers().found] == ["a"]


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "is no safetensors file: its 0 bytes are fewer than a header has"),
        (b"no tensors here", "is no safetensors file, or breaks off"),
        (b'\x09\0\0\0\0\0\0\0{"a":nope', "could not be read as safetensors: .*JSON"),
        (
            b'\x50\0\0\0\0\0\0\0{"a.weight":{"dtype":"F32","shape":[1000000,1000000],"data_offsets":[0,4000000000000]}}',
            "could not be read as safetensors",
        ),
    ],
)
def test_an_unreadable_file_is_a_sentence(tmp_path: Path, data: bytes, reason: str) -> None:
    path = tmp_path / "model.safetensors"
    path.write_bytes(data)
    with pytest.raises(TensorFileError, match=rf"model\.safetensors {reason}.*\.$"):
        layers(path)


def test_a_file_that_breaks_off_is_a_sentence(tmp_path: Path) -> None:
    source = written(tmp_path, {"a.weight": ramp(2, 32)})
    source.weights.write_bytes(source.weights.read_bytes()[:-1])
    with pytest.raises(TensorFileError, match="could not be read as safetensors"):
        source.layers()


def test_a_file_that_is_not_there_and_a_directory_are_sentences(tmp_path: Path) -> None:
    with pytest.raises(TensorFileError, match=r"none\.safetensors could not be read: No such file or directory\.$"):
        layers(tmp_path / "none.safetensors")
    with pytest.raises(TensorFileError, match=r"could not be read: Is a directory\.$"):
        layers(tmp_path)
