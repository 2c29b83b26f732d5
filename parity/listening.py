"""with listening() as heard: every Comparison made in this context is also in `heard`; elsewhere nothing listens.

For parity's pytest plugin, which reports comparisons of tests that pass and so return them to nobody. A context
variable, so that threads and nested listeners do not hear each other.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from parity.comparison import Comparison

_HEARD: Final[ContextVar[list[Comparison] | None]] = ContextVar("parity comparisons", default=None)


@contextmanager
def listening() -> Iterator[list[Comparison]]:
    """The comparisons made until the block ends, in their order."""
    heard: list[Comparison] = []
    token = _HEARD.set(heard)
    try:
        yield heard
    finally:
        _HEARD.reset(token)


def heard(comparison: Comparison) -> Comparison:
    """The comparison, told to whoever listens."""
    listener = _HEARD.get()
    if listener is not None:
        listener.append(comparison)
    return comparison
