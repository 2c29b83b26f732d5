"""Which backends there are: the two of the house, and whatever other packages announce under `parity.backends`."""

from __future__ import annotations

from functools import lru_cache
from importlib.metadata import EntryPoint, entry_points

from parity.backends.protocol import Backend

GROUP = "parity.backends"
BUILT_IN = {
    "engine": "parity.backends.engine:EngineBackend",
    "torchao": "parity.backends.torchao:TorchaoBackend",
    "torchao_8da4w": "parity.backends.torchao:Torchao8da4wBackend",
}


@lru_cache(maxsize=64)
def backend_named(name: str) -> Backend:
    """The backend of that name, imported when it is first asked for. Raises ValueError with the names there are."""
    for point in _points():
        if point.name == name:
            made = point.load()
            backend: Backend = made() if isinstance(made, type) else made
            if not isinstance(backend, Backend):
                raise ValueError(f"entry point {GROUP}:{name} gives {backend!r}, which lacks a part of parity.Backend")
            return backend
    raise ValueError(f"there is no backend {name!r}; the backends are {', '.join(backend_names())}")


def backend_names() -> tuple[str, ...]:
    """Every announced name, in order."""
    return tuple(sorted({point.name for point in _points()}))


def _points() -> tuple[EntryPoint, ...]:
    """The house's own backends first: nobody else's package replaces them."""
    own = (EntryPoint(name=name, value=value, group=GROUP) for name, value in BUILT_IN.items())
    return (*own, *entry_points(group=GROUP))
