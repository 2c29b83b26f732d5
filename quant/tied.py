"""Layers that share one Parameter share one StoredWeight: tied weights stay tied as codes."""

from __future__ import annotations

from torch import Tensor

from quant.packing import Packing
from quant.scheme import QuantScheme, TensorScheme
from quant.stored import StoredWeight


class StoredOnce:
    """of(weight, scheme) = the StoredWeight of a layer's scheme, the same object for the same Parameter and intent."""

    def __init__(self) -> None:
        # The Parameter is kept, so that no other takes its id while this lives.
        self._known: dict[tuple[int, TensorScheme, Packing | None], tuple[Tensor, StoredWeight]] = {}

    def of(self, weight: Tensor, scheme: QuantScheme) -> StoredWeight:
        """`weight` is the Parameter itself, not a detached view of it."""
        key = (id(weight), scheme.weight, scheme.packing)
        if key not in self._known:
            self._known[key] = weight, StoredWeight.of(weight.detach(), scheme.weight, scheme.packing)
        return self._known[key][1]
