"""A file of a run directory that holds rows of one kind and the schema they are of: {"schema": N, "rows": [...]}."""

import json
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from parity.whole_file import StoreError, write_whole

T = TypeVar("T")


def write_rows(path: Path, rows: Iterable[Mapping[str, Any]], schema: int) -> Path:
    """The file, written whole. Raises StoreError."""
    write_whole(path, (json.dumps({"schema": schema, "rows": list(rows)}, indent=1) + "\n").encode())
    return path


def read_rows(path: Path, schema: int, made: Callable[[dict[str, Any]], T]) -> tuple[T, ...]:
    """What `made` makes of each row; () where there is no such file. Raises StoreError for one that cannot be read."""
    if not path.exists():
        return ()
    try:
        facts = json.loads(path.read_text(encoding="utf-8"))
        if facts["schema"] != schema:
            raise StoreError(f"{path} has schema {facts['schema']!r}; this version reads {schema}.")
        return tuple(made(row) for row in facts["rows"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise StoreError(f"{path} cannot be read: {error}.") from error
