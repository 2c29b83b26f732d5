"""The installed torchao: whether it can be used, and importing it without the noise of libraries it does without."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from importlib import metadata
from typing import Final

RELEASE: Final = "0.18"
_TALKERS: Final = ("torchao", "torch.utils._pytree")


@cache
def unusable() -> str | None:
    """Why torchao's lanes cannot run here: it is missing, or another release than the one that is read."""
    try:
        version = metadata.version("torchao")
    except metadata.PackageNotFoundError:
        return "torchao is not installed; `pip install -e '.[torchao]'` adds it"
    if version.split(".")[:2] != RELEASE.split("."):
        return f"torchao {version} is installed, but its lanes read the modules of {RELEASE}"
    return None


@contextmanager
def quiet_import() -> Iterator[None]:
    """Silence what torchao logs when imported on a machine without its CUDA libraries; an ImportError still raises.

    It warns of every native library that fails to load, though none of the lanes uses one, and torch of a deprecated
    way of registering an enumeration.
    """
    loggers = [logging.getLogger(name) for name in _TALKERS]
    levels = [logger.level for logger in loggers]
    try:
        for logger in loggers:
            logger.setLevel(logging.ERROR)
        yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
