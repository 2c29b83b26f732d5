"""Which backends there are: the house's own, what other packages announce, and objects this process was handed.

Names only: nothing is imported until parity.backends.registry is asked for a backend.
"""

from __future__ import annotations

from importlib.metadata import EntryPoint, entry_points
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from parity.backends.protocol import Backend

GROUP: Final = "parity.backends"
# torchao as it was before each of these pull requests, and as it is (parity.backends.torchao_epochs).
EPOCHS: Final = tuple(
    f"torchao_{epoch}"
    for epoch in (
        *("before_1964", "before_2060", "before_2085", "before_2180"),
        *("before_2280", "before_2861", "before_4534", "0_18"),
    )
)
BUILT_IN: Final = {
    "aten_int4": "parity.backends.aten_int4:AtenInt4Backend",
    "engine": "parity.backends.engine:EngineBackend",
    "engine_subclass": "parity.backends.engine_subclass:EngineSubclassBackend",
    "torchao": "parity.backends.torchao:TorchaoBackend",
    "torchao_8da4w": "parity.backends.torchao:Torchao8da4wBackend",
    "torchao_parq": "parity.backends.torchao_parq:TorchaoParqBackend",
    **{name: f"parity.backends.torchao_epochs:{name.upper()}" for name in EPOCHS},
}

_adopted: dict[str, Backend] = {}


def announced() -> tuple[EntryPoint, ...]:
    """The house's own backends first: nobody else's package replaces them."""
    own = (EntryPoint(name=name, value=value, group=GROUP) for name, value in BUILT_IN.items())
    return (*own, *entry_points(group=GROUP))


def backend_names() -> tuple[str, ...]:
    """Every announced name, in order."""
    return tuple(sorted({point.name for point in announced()}))


def adopt(backend: Backend) -> None:
    """Let the backend's name mean this object in this process. Raises ValueError for a name that is another's."""
    of_that_name = next((point.value for point in announced() if point.name == backend.name), None)
    if of_that_name is None:
        _adopted[backend.name] = backend
    elif of_that_name != f"{type(backend).__module__}:{type(backend).__qualname__}":
        raise ValueError(f"a backend {backend.name!r} is announced already; give {backend!r} a name of its own")


def adopted(name: str) -> Backend | None:
    """The object that was handed over under that name, or None."""
    return _adopted.get(name)
