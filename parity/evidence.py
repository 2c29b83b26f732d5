"""read_evidence(keep(...)) = the same bytes: small tensors of diverging stages, so that people can look at the bits.

A tensor is two files in DIRECTORY/evidence: NAME.bin, raw little-endian bytes in row-major order, and NAME.json, its
header. At most 4 MB a tensor, 20 cells a signature and 64 MB a run; everything else is made again by `parity replay`.
"""

import json
from collections import defaultdict
from dataclasses import asdict, dataclass
from hashlib import blake2b
from math import prod
from pathlib import Path
from typing import Final
from zlib import crc32

from parity.manifest import SCHEMA
from parity.whole_file import StoreError, write_whole

MAX_CELLS_PER_SIGNATURE: Final = 20
MAX_BYTES_PER_TENSOR: Final = 4 * 2**20  # or one table of a real model would be all the evidence of its run
MAX_BYTES_PER_RUN: Final = 64 * 2**20

FOLDER: Final = "evidence"

# Bytes an element takes, by torch's name of its dtype.
ITEM_BYTES: Final = {
    "float64": 8,
    "float32": 4,
    "float16": 2,
    "bfloat16": 2,
    "float8_e4m3fn": 1,
    "float8_e4m3fnuz": 1,
    "float8_e5m2": 1,
    "float8_e5m2fnuz": 1,
    "float8_e8m0fnu": 1,
    "int64": 8,
    "int32": 4,
    "int16": 2,
    "int8": 1,
    "uint64": 8,
    "uint32": 4,
    "uint16": 2,
    "uint8": 1,
    "bool": 1,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Header:
    """Where a tensor comes from and what its bytes mean; crc32 is of the bytes, digest the one in the lane record."""

    schema: int = SCHEMA
    signature: str
    cell: str
    edge: str
    lane: str
    stage: str
    dtype: str
    shape: tuple[int, ...]
    digest: str
    crc32: int = 0

    @property
    def n_bytes(self) -> int:
        """prod(shape) * bytes of an element. Raises ValueError for an unknown dtype and a negative size."""
        if self.dtype not in ITEM_BYTES:
            raise ValueError(f"the dtype {self.dtype!r} is none of {', '.join(ITEM_BYTES)}")
        if any(size < 0 for size in self.shape):
            raise ValueError(f"the shape {self.shape} has a negative size")
        return prod(self.shape) * ITEM_BYTES[self.dtype]

    @property
    def name(self) -> str:
        """The files' name: cell ids may be longer than a file system allows, so it is a digest of what it names."""
        return blake2b("\0".join((self.cell, self.edge, self.lane, self.stage)).encode(), digest_size=12).hexdigest()


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """One tensor: its header and its bytes."""

    header: Header
    data: bytes


class EvidenceWriter:
    """Keeps what the limits allow. Started on a directory with evidence in it, it counts that too."""

    def __init__(
        self, directory: Path, *, max_cells: int = MAX_CELLS_PER_SIGNATURE, max_bytes: int = MAX_BYTES_PER_RUN
    ) -> None:
        self._folder = directory / FOLDER
        self._max_cells = max_cells
        self._max_bytes = max_bytes
        self._cells: defaultdict[str, set[str]] = defaultdict(set)
        self._bytes = 0
        for header in evidence_headers(directory):
            self._cells[header.signature].add(header.cell)
            self._bytes += header.n_bytes

    def wants(self, signature: str, cell: str) -> bool:
        """Whether a cell of this signature may still be kept, so that no tensor is copied for nothing."""
        cells = self._cells[signature]
        return self._bytes < self._max_bytes and (cell in cells or len(cells) < self._max_cells)

    def keep(self, header: Header, data: bytes) -> bool:
        """Write one tensor, or return False where a limit forbids it.

        Raises ValueError when the bytes are not as many as dtype and shape say, StoreError when they cannot be written.
        """
        if len(data) != header.n_bytes:
            raise ValueError(
                f"{header.stage} of {header.cell} has {len(data)} bytes, but {header.dtype} {header.shape} takes "
                f"{header.n_bytes}"
            )
        fits = len(data) <= min(MAX_BYTES_PER_TENSOR, self._max_bytes - self._bytes)
        if not fits or not self.wants(header.signature, header.cell):
            return False
        try:
            self._folder.mkdir(exist_ok=True)
        except OSError as error:
            raise StoreError(f"{self._folder} could not be made: {error.strerror}.") from error
        described = json.dumps({**asdict(header), "crc32": crc32(data)}, indent=1) + "\n"
        # The header last: where it is, its bytes are.
        write_whole(self._folder / f"{header.name}.bin", data)
        write_whole(self._folder / f"{header.name}.json", described.encode())
        self._cells[header.signature].add(header.cell)
        self._bytes += len(data)
        return True


def evidence_headers(directory: Path) -> list[Header]:
    """The headers of a run's evidence in the order of their cells, lanes and stages. Raises StoreError."""
    headers = [_read_header(path) for path in (directory / FOLDER).glob("*.json")]
    return sorted(headers, key=lambda header: (header.cell, header.edge, header.lane, header.stage))


def read_evidence(directory: Path, header: Header) -> Evidence:
    """The tensor of a header. Sizes are compared before a byte is read. Raises StoreError with what does not fit."""
    path = directory / FOLDER / f"{header.name}.bin"
    try:
        size = path.stat().st_size
        if size != header.n_bytes:
            raise StoreError(f"{path} has {size} bytes; {header.dtype} {header.shape} takes {header.n_bytes}.")
        data = path.read_bytes()
    except OSError as error:
        raise StoreError(f"{path} cannot be read: {error.strerror}.") from error
    if crc32(data) != header.crc32:
        raise StoreError(f"{path} has the crc32 {crc32(data):08x}; its header says {header.crc32:08x}.")
    return Evidence(header=header, data=data)


def _read_header(path: Path) -> Header:
    try:
        facts = json.loads(path.read_text(encoding="utf-8"))
        if facts["schema"] != SCHEMA:
            raise ValueError(f"its schema is {facts['schema']!r}; this version reads schema {SCHEMA} only")
        header = Header(**{**facts, "shape": tuple(int(size) for size in facts["shape"])})
        if f"{header.name}.json" != path.name:
            raise ValueError(f"it describes another tensor, whose header would be {header.name}.json")
        header.n_bytes  # noqa: B018  a header is read to be believed, so its dtype and shape are checked here
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise StoreError(f"{path} is no evidence header: {error}.") from error
    return header
