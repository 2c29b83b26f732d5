"""A backend by its name: the two of the house, and whatever other packages announce under `parity.backends`."""

from __future__ import annotations

from functools import lru_cache

from parity.backends.names import GROUP, adopted, announced, backend_names
from parity.backends.protocol import Backend

__all__ = ["backend_named", "backend_names"]


def backend_named(name: str) -> Backend:
    """The backend of that name, imported when it is first asked for. Raises ValueError with the names there are."""
    return adopted(name) or _imported(name)


@lru_cache(maxsize=64)
def _imported(name: str) -> Backend:
    for point in announced():
        if point.name == name:
            made = point.load()
            backend: Backend = made() if isinstance(made, type) else made
            if not isinstance(backend, Backend):
                raise ValueError(f"entry point {GROUP}:{name} gives {backend!r}, which lacks a part of parity.Backend")
            return backend
    raise ValueError(f"there is no backend {name!r}; the backends are {', '.join(backend_names())}")
