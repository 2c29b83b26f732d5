"""One LaneRecord = what one lane did on one cell; one EdgeRecord = what two lanes' bits had to do with each other.

Plain frozen values: no tensor, no torch. Dtypes are torch's names without the prefix ("float32"); digests are 16
lower-case hex digits; element bits are unsigned integers of the storage width.
"""

from dataclasses import dataclass, field
from typing import NamedTuple, Protocol, SupportsIndex, TypeVar, overload

from parity.verdicts import Outcome, Verdict

STAGES = (
    "input.scale",
    "input.zero_point",
    "input.codes",
    "input.dequantized",
    "weight.scale",
    "weight.zero_point",
    "weight.codes",
    "weight.packed",
    "weight.dequantized",
    "output.scale",
    "output.zero_point",
    "output.codes",
    "output",
    "grad.input",
    "grad.weight",
)

# The dtype of the side that has no such stage.
ABSENT = "absent"


class HasStage(Protocol):
    """Anything that belongs to a named stage."""

    @property
    def stage(self) -> str: ...


T = TypeVar("T", bound=HasStage)


class ByStage(tuple[T, ...]):
    """stages["weight.codes"] is the entry whose stage is weight.codes; stages[0] is the first entry.

    Made from any iterable of entries, ByStage([a, b]); a tuple in every other respect: ordered, hashable, equal to a
    plain tuple of the same entries.
    Raises KeyError, with the stages there are, for a stage that is not among them.
    """

    __slots__ = ()

    @overload
    def __getitem__(self, key: SupportsIndex, /) -> T: ...
    @overload
    def __getitem__(self, key: slice, /) -> tuple[T, ...]: ...
    @overload
    def __getitem__(self, key: str, /) -> T: ...
    def __getitem__(self, key: SupportsIndex | slice | str, /) -> T | tuple[T, ...]:
        if not isinstance(key, str):
            return super().__getitem__(key)
        for entry in self:
            if entry.stage == key:
                return entry
        raise KeyError(f"no stage {key!r} here; the stages are: {', '.join(self.names) or 'none'}")

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(entry.stage for entry in self)

    def find(self, stage: str) -> T | None:
        """The entry of that stage, or None when the stage is absent."""
        return next((entry for entry in self if entry.stage == stage), None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Element:
    """One element of a stage on both sides; ulp is None where one side is NaN or the dtypes differ."""

    index: tuple[int, ...]
    bits_a: int
    bits_b: int
    ulp: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class StageDiff:
    """How one stage of lane A and lane B differ, bit for bit.

    histogram[0] counts equal elements, histogram[k] those with an ulp distance in [2^(k-1), 2^k), the last bin those
    that cannot be compared because one is NaN. worst holds at most 8 elements, the largest ulp first.
    Where the sides cannot be compared element by element (shapes, dtypes, or a side without the stage, whose dtype is
    ABSENT): n_different = n_total, max_ulp None, histogram (). Integer codes kept in two dtypes can be, so they are.
    """

    stage: str
    dtype_a: str
    dtype_b: str
    shape_a: tuple[int, ...]
    shape_b: tuple[int, ...]
    n_total: int
    n_different: int
    max_ulp: int | None
    first_index: tuple[int, ...] | None
    first: Element | None
    worst: tuple[Element, ...]
    histogram: tuple[int, ...]
    sqnr_db: float | None

    @property
    def identical(self) -> bool:
        """Nothing differs: not one element, nor the shape, nor the dtype unless the elements could be compared."""
        measured = self.dtype_a == self.dtype_b or self.max_ulp == 0
        return self.n_different == 0 and self.shape_a == self.shape_b and measured

    @property
    def one_sided(self) -> bool:
        """One lane has no such stage, so there is nothing to compare it with."""
        return ABSENT in (self.dtype_a, self.dtype_b)


class LaneStage(NamedTuple):
    """One stage as one lane produced it; computed = the dtype it was computed in, digest = 64 bits of its bits.

    A named tuple, because a sweep makes a million of them and a dataclass takes four times as long.
    """

    stage: str
    dtype: str
    computed: str
    shape: tuple[int, ...]
    digest: str


@dataclass(frozen=True, slots=True, kw_only=True)
class LaneRecord:
    """One cell on one lane; message says why when the outcome is not `ran`; coverage = counts of what it visited.

    The message of a raised lane begins with the type that was raised: "ValueError: ..." (parity.judge.raised_message).
    """

    cell: str
    lane: str
    outcome: Outcome
    message: str = ""
    input_digest: str
    stages: ByStage[LaneStage] = field(default_factory=ByStage)
    coverage: tuple[tuple[str, int], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class EdgeRecord:
    """One cell on one edge.

    stages holds every common stage in order when any of them differs, and nothing when all are identical.
    signature is the text of parity.signature ("" unless the pair diverged), ledger the id of the row that excuses it.
    """

    cell: str
    edge: str
    verdict: Verdict
    contract: str
    first_stage: str | None = None
    stages: ByStage[StageDiff] = field(default_factory=ByStage)
    signature: str = ""
    cause: str = ""
    ledger: str = ""
    message: str = ""
