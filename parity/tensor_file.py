"""A file of tensors is read as safetensors or not at all: a pickle can run code, so it is refused by name and content.

Opening reads the header alone, and safetensors holds every size in it against the file's own before a tensor is made.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any, Final, TypeVar

from safetensors import SafetensorError, safe_open
from torch import Tensor

PICKLED: Final = (".pt", ".pth", ".bin", ".pkl", ".pickle", ".ckpt")
MAX_HEADER: Final = 100_000_000  # bytes; safetensors' own limit
_ZIP: Final = b"PK\x03\x04"  # what torch.save writes
_PICKLES: Final = tuple(bytes((0x80, protocol)) for protocol in range(2, 6))  # what pickle.dump writes
_CONVERT: Final = "write it as safetensors: safetensors.torch.save_file(tensors, path)"

T = TypeVar("T")


class TensorFileError(ValueError):
    """A file of tensors that is not read, or not as what it is taken for; str() is a sentence that names it."""


@dataclass(frozen=True, slots=True)
class Form:
    """What the header says of a tensor; dtype as safetensors writes it: F32, BF16, I64."""

    dtype: str
    shape: tuple[int, ...]

    @property
    def elements(self) -> int:
        return prod(self.shape)

    def __str__(self) -> str:
        return f"{self.dtype} {list(self.shape)}"


@dataclass(frozen=True, slots=True)
class TensorFile:
    """The header of a safetensors file: the form of each tensor, and the metadata its writer put in."""

    path: Path
    forms: Mapping[str, Form]
    metadata: Mapping[str, str]

    @classmethod
    def open(cls, path: Path) -> TensorFile:
        """Read the header. Raises TensorFileError: no such file, pickled, broken off, not safetensors."""
        refused = _refusal(path)
        if refused is not None:
            raise TensorFileError(f"{path} {refused}.")

        def header(file: Any) -> TensorFile:
            slices = {name: file.get_slice(name) for name in file.keys()}  # noqa: SIM118 - a handle, not a dict
            forms = {name: Form(part.get_dtype(), tuple(part.get_shape())) for name, part in slices.items()}
            return cls(path, forms, dict(file.metadata() or {}))

        return _read(path, header)

    def tensor(self, name: str) -> Tensor:
        """One tensor. Raises TensorFileError where the file was changed since it was opened."""
        value: Tensor = _read(self.path, lambda file: file.get_tensor(name))
        return value


def _read(path: Path, part: Callable[[Any], T]) -> T:
    """part(the open file); the handle is untyped in safetensors."""
    try:
        with safe_open(path, framework="pt") as file:
            return part(file)
    except (SafetensorError, OSError) as error:
        raise TensorFileError(f"{path} could not be read as safetensors: {error}.") from error


def _refusal(path: Path) -> str | None:
    """Why the file is not opened at all, told from its name and its first bytes."""
    if path.suffix.lower() in PICKLED:
        return f"ends in {path.suffix}, as pickled tensors do, and unpickling a file runs what is in it; {_CONVERT}"
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            first = file.read(9)
    except OSError as error:
        return f"could not be read: {error.strerror or error}"
    if first.startswith(_ZIP) or (first.startswith(_PICKLES) and first[8:] != b"{"):
        return f"holds pickled tensors, whatever its name says, and unpickling a file runs what is in it; {_CONVERT}"
    if len(first) < 9:
        return f"is no safetensors file: its {size} bytes are fewer than a header has"
    header = int.from_bytes(first[:8], "little")
    if header > min(size - 8, MAX_HEADER) or first[8:] != b"{":
        return f"is no safetensors file, or breaks off: its first 8 bytes tell of a header of {header} bytes in {size}"
    return None
