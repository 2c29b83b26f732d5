"""A trace is what a lane returned, stage by stage, in the order of parity.record.STAGES."""

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise
from typing import SupportsIndex, overload

import torch
from torch import Tensor

from parity.bits import same_storage
from parity.record import STAGES


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Stage:
    """One named intermediate; computed is the dtype of the arithmetic that made it, tensor.dtype the one that holds it.

    Raises ValueError for a name that is not in STAGES. Stages are equal only as objects: bits are compared by diff.
    """

    name: str
    tensor: Tensor
    computed: torch.dtype

    def __post_init__(self) -> None:
        if self.name not in STAGES:
            raise ValueError(f"no stage is called {self.name!r}; the stages are: {', '.join(STAGES)}")


class Trace(tuple[Stage, ...]):
    """Trace([stage, ...]): trace["weight.codes"] is that stage, trace[0] the first; a tuple in every other respect.

    Raises ValueError for a stage that stands twice and for one that stands after a later one, KeyError on looking up
    a stage that the lane did not produce.
    """

    __slots__ = ()

    def __new__(cls, stages: Iterable[Stage] = ()) -> "Trace":
        trace = super().__new__(cls, stages)
        for earlier, later in pairwise(trace.names):
            if earlier == later:
                raise ValueError(f"the trace holds stage {later} twice; a lane produces each stage once")
            if STAGES.index(earlier) > STAGES.index(later):
                raise ValueError(f"the trace holds {later} after {earlier}; the order is: {', '.join(STAGES)}")
        return trace

    @overload
    def __getitem__(self, key: SupportsIndex, /) -> Stage: ...
    @overload
    def __getitem__(self, key: slice, /) -> tuple[Stage, ...]: ...
    @overload
    def __getitem__(self, key: str, /) -> Stage: ...
    def __getitem__(self, key: SupportsIndex | slice | str, /) -> Stage | tuple[Stage, ...]:
        if not isinstance(key, str):
            return super().__getitem__(key)
        stage = self.find(key)
        if stage is None:
            raise KeyError(f"the trace has no stage {key!r}; it has: {', '.join(self.names) or 'none'}")
        return stage

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(stage.name for stage in self)

    def find(self, name: str) -> Stage | None:
        """The stage of that name, or None when the lane did not produce it."""
        return next((stage for stage in self if stage.name == name), None)


def same_bits(a: Trace, b: Trace) -> bool:
    """Whether two lanes have the same stages, computed in the same dtypes and equal in every stored bit."""
    return a.names == b.names and all(
        one.computed == other.computed and same_storage(one.tensor, other.tensor)
        for one, other in zip(a, b, strict=True)
    )
