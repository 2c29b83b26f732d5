"""Small records with everything filled in, for suites that plant faults in them."""

from dataclasses import replace

from parity.manifest import Manifest
from parity.record import ABSENT, ByStage, EdgeRecord, Element, LaneRecord, LaneStage, StageDiff
from parity.setting import Environment
from parity.verdicts import Outcome, Verdict

EDGE = "engine:ptq~engine:qat_convert"

ENVIRONMENT = Environment(setting={"threads": 1, "torch": "2.13.0"}, subject={"engine_commit": "1a2b3c"})


def same(stage: str) -> StageDiff:
    """100 equal float32 elements."""
    return StageDiff(
        stage=stage,
        dtype_a="float32",
        dtype_b="float32",
        shape_a=(10, 10),
        shape_b=(10, 10),
        n_total=100,
        n_different=0,
        max_ulp=0,
        first_index=None,
        first=None,
        worst=(),
        histogram=(100, *[0] * 64),
        sqnr_db=None,
    )


def differing(stage: str, *, ulp: int = 1, count: int = 1, incomparable: int = 0) -> StageDiff:
    """`count` of 100 elements differ by `ulp`, and `incomparable` more because one side is NaN."""
    first = Element(index=(0, 3), bits_a=0x3F80_0000, bits_b=0x3F80_0000 + ulp, ulp=ulp)
    bins = [0] * 65
    bins[0], bins[-1] = 100 - count - incomparable, incomparable
    bins[ulp.bit_length()] += count
    return replace(
        same(stage),
        n_different=count + incomparable,
        max_ulp=ulp,
        first_index=first.index,
        first=first,
        worst=(first,),
        histogram=tuple(bins),
        sqnr_db=120.5,
    )


def unlike(stage: str) -> StageDiff:
    """float32 against bfloat16: no element can be compared."""
    return replace(same(stage), dtype_b="bfloat16", n_different=100, max_ulp=None, histogram=())


def one_sided(stage: str) -> StageDiff:
    """Lane A has no such stage."""
    return replace(unlike(stage), dtype_a=ABSENT, shape_a=())


def lane(
    cell: str = "default",
    name: str = "engine:ptq",
    outcome: Outcome = Outcome.RAN,
    message: str = "",
    digests: tuple[str, str] = ("0123456789abcdef", "00000000000000ff"),
) -> LaneRecord:
    """weight.scale and weight.codes with these digests."""
    stages = ByStage(
        (
            LaneStage(stage="weight.scale", dtype="bfloat16", computed="float32", shape=(8, 1), digest=digests[0]),
            LaneStage(stage="weight.codes", dtype="int8", computed="float32", shape=(8, 32), digest=digests[1]),
        )
    )
    return LaneRecord(
        cell=cell,
        lane=name,
        outcome=outcome,
        message=message,
        input_digest="feedfacecafebeef",
        stages=stages if outcome is Outcome.RAN else ByStage(),
        coverage=(("ties", 3), ("eps_active", 0)),
    )


def pair(cell: str = "default", verdict: Verdict = Verdict.IDENTICAL, edge: str = EDGE) -> EdgeRecord:
    """An edge record with nothing to tell."""
    return EdgeRecord(cell=cell, edge=edge, verdict=verdict, contract="exact")


def manifest(cells: tuple[str, ...] = ("default",), edges: tuple[str, ...] = (EDGE,)) -> Manifest:
    """Every cell is planned on every edge."""
    return Manifest(
        tier="premerge",
        argv=("parity", "run"),
        planned=cells,
        edges={edge: len(cells) for edge in edges},
        environment=ENVIRONMENT,
        started="2026-01-31T00:00:00+00:00",
    )
