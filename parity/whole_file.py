"""write_whole(path, data): a reader finds the old file or the whole new one, never a part."""

import os
from contextlib import suppress
from errno import ENOSPC
from pathlib import Path

# What a name begins with until its file is whole; readers match names by their proper beginning and never see it.
UNFINISHED = ".unfinished-"


class StoreError(Exception):
    """A run directory that cannot be written or read; str() is a sentence that names the path."""


def write_whole(path: Path, data: bytes | memoryview) -> None:
    """Write beside the path, then rename over it. Raises StoreError naming the path; a full disk leaves no litter."""
    unfinished = path.with_name(UNFINISHED + path.name)
    try:
        unfinished.write_bytes(data)
        os.replace(unfinished, path)
    except OSError as error:
        with suppress(OSError):
            unfinished.unlink()
        why = "the disk is full" if error.errno == ENOSPC else error.strerror or str(error)
        raise StoreError(
            f"{path} ({len(data)} bytes) could not be written: {why}. Files finished before it are whole."
        ) from error
