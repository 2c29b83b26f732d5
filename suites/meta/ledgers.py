"""Ledgers that excuse too much, or never grow stale, and a battery of runs whose outcome is known by hand."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from typing import Final

from parity.ledger import Row
from parity.record import ByStage, EdgeRecord, StageDiff
from parity.settling import Settling
from parity.signature import Signature, signature_of
from parity.verdicts import Verdict
from suites.plain_records import EDGE, differing, pair

TODAY: Final = date(2026, 6, 1)
OTHER_EDGE: Final = "torchao:ptq~engine.torchao:ptq"
ROW: Final = Row(
    id="float-codes",
    edge=EDGE,
    first_stage="weight.codes",
    cause="code_cast",
    where=(("dtype", ("bf16",)),),
    ulp_classes=("1",),
    count_classes=("one",),
    reason="prepare keeps float codes",
    owner="flows",
    link="",
    date=date(2026, 1, 31),
    expires=date(2026, 7, 31),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """Records as they are judged, on a day; what each becomes, which rows are stale, what each is at the end."""

    records: Sequence[EdgeRecord]
    today: date = TODAY
    settled: Sequence[Verdict]
    stale: bool = False
    at_the_end: Sequence[Verdict] = ()


def values_of(cell: str) -> Mapping[str, str]:
    return {"dtype": cell.removeprefix("dtype:") if cell != "default" else "fp32"}


def _diverged(
    cell: str = "dtype:bf16", diff: StageDiff | None = None, *, cause: str = "code_cast", edge: str = EDGE
) -> EdgeRecord:
    diff = diff or differing("weight.codes")
    return replace(
        pair(cell, Verdict.DIVERGED, edge),
        first_stage=diff.stage,
        stages=ByStage((diff,)),
        signature=str(signature_of(edge, diff, cause)),
        cause=cause,
    )


_SAME: Final = pair("dtype:bf16")
_CRASHED: Final = pair("dtype:bf16", Verdict.CRASHED)
_UNRUN: Final = pair("dtype:bf16", Verdict.UNRUN)

BATTERY: Final = (
    Run(records=[_diverged()], settled=[Verdict.KNOWN]),
    Run(records=[_diverged("default")], settled=[Verdict.DIVERGED]),
    Run(records=[_diverged(edge=OTHER_EDGE)], settled=[Verdict.DIVERGED]),
    Run(records=[_diverged(diff=differing("weight.scale"))], settled=[Verdict.DIVERGED], stale=True),
    Run(records=[_diverged(diff=differing("weight.codes", ulp=9))], settled=[Verdict.DIVERGED], stale=True),
    Run(records=[_diverged(diff=differing("weight.codes", count=60))], settled=[Verdict.DIVERGED], stale=True),
    Run(records=[_diverged(cause="code_rounding")], settled=[Verdict.DIVERGED], stale=True),
    Run(records=[_diverged()], today=date(2026, 8, 1), settled=[Verdict.DIVERGED]),
    Run(records=[_diverged()], today=date(2026, 7, 31), settled=[Verdict.KNOWN]),
    Run(records=[_CRASHED, _UNRUN], settled=[Verdict.CRASHED, Verdict.UNRUN]),
    Run(records=[_SAME], settled=[Verdict.IDENTICAL], stale=True, at_the_end=[Verdict.FIXED]),
    Run(
        records=[_SAME, _diverged(diff=differing("output")), _UNRUN],
        settled=[Verdict.IDENTICAL, Verdict.DIVERGED, Verdict.UNRUN],
        stale=True,
        at_the_end=[Verdict.FIXED, Verdict.DIVERGED, Verdict.UNRUN],
    ),
    Run(records=[_SAME, _diverged()], settled=[Verdict.IDENTICAL, Verdict.KNOWN]),
)


class AnyStage(Row):
    def describes(self, signature: Signature) -> bool:
        return Row.describes(self, replace(signature, first_stage=self.first_stage))


class AnyCause(Row):
    def describes(self, signature: Signature) -> bool:
        return Row.describes(self, replace(signature, cause=self.cause))


class AnyUlp(Row):
    def describes(self, signature: Signature) -> bool:
        return Row.describes(self, replace(signature, ulp_class=self.ulp_classes[0]))


class AnyCount(Row):
    def describes(self, signature: Signature) -> bool:
        return Row.describes(self, replace(signature, count_class=self.count_classes[0]))


class Everywhere(Row):
    def covers(self, values: Mapping[str, str]) -> bool:
        return True


class ForEver(Row):
    def expired(self, today: date) -> bool:
        return False


class EndsADayEarly(Row):
    def expired(self, today: date) -> bool:
        return today >= self.expires


class AnyEdge(Settling):
    def _covering(self, record: EdgeRecord) -> list[Row]:
        return [replace(row, edge=record.edge) for row in super()._covering(replace(record, edge=EDGE))]


class ExcusesCrashes(Settling):
    def excuse(self, record: EdgeRecord) -> EdgeRecord:
        crashed = record.verdict is Verdict.CRASHED and self._covering(record)
        return replace(record, verdict=Verdict.KNOWN) if crashed else super().excuse(record)


class NeverStale(Settling):
    def _is_stale(self, row: Row) -> bool:
        return False


class StaleWithoutRunning(Settling):
    def _is_stale(self, row: Row) -> bool:
        return row.id not in self._diverged


class StaleInSpiteOfOne(Settling):
    def _is_stale(self, row: Row) -> bool:
        return row.id in self._ran


class FixesWhatDiverged(Settling):
    def fixed(self, record: EdgeRecord) -> EdgeRecord:
        return super().fixed(replace(record, verdict=Verdict.IDENTICAL)) if self.stale else record


ROWS: Final[tuple[type[Row], ...]] = (AnyStage, AnyCause, AnyUlp, AnyCount, Everywhere, ForEver, EndsADayEarly)
SETTLINGS: Final[tuple[type[Settling], ...]] = (
    AnyEdge,
    ExcusesCrashes,
    NeverStale,
    StaleWithoutRunning,
    StaleInSpiteOfOne,
    FixesWhatDiverged,
)


def failures(row: type[Row] = Row, settling: type[Settling] = Settling) -> list[int]:
    """The places in the battery where a ledger of this kind is wrong."""
    return [i for i, run in enumerate(BATTERY) if not _is_right(run, row, settling)]


def _is_right(run: Run, row: type[Row], kind: type[Settling]) -> bool:
    facts = {name: getattr(ROW, name) for name in Row.__dataclass_fields__}
    ledger = kind([row(**facts)], values_of=values_of, today=run.today)
    settled = [ledger.excuse(record) for record in run.records]
    ended = [ledger.fixed(record).verdict for record in settled]
    verdicts = [record.verdict for record in settled]
    return (
        verdicts == [*run.settled] and bool(ledger.stale) is run.stale and ended == [*(run.at_the_end or run.settled)]
    )
