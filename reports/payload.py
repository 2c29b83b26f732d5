"""unpack(pack(facts, columns)) = the same: plain facts and numeric columns, gzipped, as text that stands in a page.

The bytes, before gzip: uint32 length of the facts' JSON, that JSON, padding to a multiple of 8, then each column,
little-endian and padded alike. The JSON holds the facts and, under "columns", every column's type, offset and length.
"""

import gzip
import json
from base64 import b64decode, b64encode
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

# 9 takes six times as long and saves three in a hundred.
_LEVEL = 6

_ALIGNMENT = 8

# The column types that a page's typed arrays have.
TYPES = ("uint8", "uint16", "uint32", "uint64", "float64")


def pack(facts: Mapping[str, Any], columns: Mapping[str, npt.NDArray[Any]]) -> str:
    """base64 of the gzipped facts and columns. Raises ValueError for a column of a type that a page cannot read."""
    blocks, places, offset = [], {}, 0
    for name, column in columns.items():
        if column.dtype.name not in TYPES:
            raise ValueError(f"column {name} is {column.dtype.name}; a page reads {', '.join(TYPES)}")
        data = _padded(column.astype(column.dtype.newbyteorder("<")).tobytes())
        places[name] = {"type": column.dtype.name, "offset": offset, "length": len(column)}
        blocks.append(data)
        offset += len(data)
    head = json.dumps({**facts, "columns": places}, separators=(",", ":"), ensure_ascii=False).encode()
    return deflate(_padded(len(head).to_bytes(4, "little") + head) + b"".join(blocks))


def unpack(text: str) -> tuple[dict[str, Any], dict[str, npt.NDArray[Any]]]:
    """The facts and the columns of a packed text."""
    data = inflate(text)
    size = int.from_bytes(data[:4], "little")
    facts = json.loads(data[4 : 4 + size])
    start = len(_padded(data[: 4 + size]))
    columns = {
        name: np.frombuffer(data, np.dtype(place["type"]).newbyteorder("<"), place["length"], start + place["offset"])
        for name, place in facts.pop("columns").items()
    }
    return facts, columns


def deflate(data: bytes) -> str:
    """base64 of gzip, with no time in it."""
    return b64encode(gzip.compress(data, _LEVEL, mtime=0)).decode("ascii")


def inflate(text: str) -> bytes:
    """inflate(deflate(data)) = data."""
    return gzip.decompress(b64decode(text))


def _padded(data: bytes) -> bytes:
    return data + b"\0" * (-len(data) % _ALIGNMENT)
