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


# Backends that this process was handed as objects: parity.lane(backend, flow=...) names one of them.
_adopted: dict[str, Backend] = {}


def adopt(backend: Backend) -> None:
    """Let the backend's name mean this object in this process. Raises ValueError for a name that is announced."""
    if backend.name in backend_names() and backend is not _announced(backend.name):
        raise ValueError(f"a backend {backend.name!r} is announced already; give {backend!r} a name of its own")
    _adopted[backend.name] = backend


def backend_named(name: str) -> Backend:
    """The backend of that name, imported when it is first asked for. Raises ValueError with the names there are."""
    return _adopted[name] if name in _adopted else _announced(name)


@lru_cache(maxsize=64)
def _announced(name: str) -> Backend:
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
