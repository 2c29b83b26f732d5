"""moved = lane, cell and first stage whose digest differs between two runs: the same lane at two revisions.

With one path for all flows, a changed rule moves them all alike: no edge diverges, and only digests see it.
"""

from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict, dataclass

from parity.record import STAGES, LaneRecord
from parity.setting import Environment, difference, subject_difference
from parity.verdicts import Outcome

# What can have moved before any stage: the case itself, or how the lane ended.
INPUT, OUTCOME = "input", "outcome"

SUMMARY_LINES = 60


class UnlikeSettingsError(ValueError):
    """The two runs were made in different settings, so equal code could give other bits."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Moved:
    """One cell on one lane whose bits moved; stage is the first that did, or INPUT, or OUTCOME.

    stages = every stage that moved; () where the case itself moved, or how the lane ended.
    """

    cell: str
    lane: str
    stage: str
    stages: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class RunDiff:
    """Two runs, lane by lane. new, gone = (cell, lane) pairs in the second, the first run alone; common = in both.

    unlike = the sentences about their settings, not empty only where the comparison was told to go on regardless.
    """

    common: int
    moved: tuple[Moved, ...]
    new: tuple[tuple[str, str], ...]
    gone: tuple[tuple[str, str], ...]
    unlike: tuple[str, ...]
    subject: tuple[str, ...]

    def to_json(self) -> dict[str, object]:
        """Plain values for json.dumps, with the same numbers as summary."""
        return asdict(self)

    def summary(self) -> str:
        """At most 60 lines: the counts, where bits moved by lane and stage, then the first cells that moved."""
        alone = f"{len(self.new)} new, {len(self.gone)} gone."
        head = [f"{len(self.moved)} of {self.common} common lane records moved; {alone}"]
        if not self.common:
            head = [f"Nothing was compared, for no cell ran on one lane in both runs; {alone}"]
        head += [f"setting: {sentence}" for sentence in self.unlike]
        head += [f"subject: {sentence}" for sentence in self.subject]
        table = Counter((moved.lane, moved.stage) for moved in self.moved)
        largest_first = sorted(table.items(), key=lambda row: (-row[1], row[0]))
        counts = [f"{count:8}  {lane} at {stage}" for (lane, stage), count in largest_first]
        cells = [f"{moved.lane}  {moved.stage}  {moved.cell}" for moved in self.moved]
        return "\n".join([*_at_most(15, head), *_at_most(20, counts), *_at_most(SUMMARY_LINES - 35, cells)])


# A lane's stages but for their digests: (stage, dtype, shape) of each.
_Form = tuple[tuple[str, str, tuple[int, ...]], ...]

# What is compared of one record: how the lane ended, its input's digest, its form, all its digests in one text.
_Bits = tuple[Outcome, str, _Form, str]

_DIGEST_DIGITS = 16


def run_diff(
    before: Iterable[LaneRecord],
    after: Iterable[LaneRecord],
    *,
    environments: tuple[Environment, Environment],
    unlike_settings: bool = False,
) -> RunDiff:
    """Compare the lanes of two runs by digest, dtype and shape of each stage; a lane that is unrun was not there.

    Raises UnlikeSettingsError, naming every difference, unless unlike_settings is True.
    """
    unlike = difference(*environments)
    if unlike and not unlike_settings:
        raise UnlikeSettingsError(f"the runs cannot be compared, for their settings differ: {'; '.join(unlike)}")
    forms: dict[_Form, _Form] = {}
    first, second = _by_lane(before, forms), _by_lane(after, forms)
    common = sorted(first.keys() & second.keys())
    moved = (_moved(*key, first[key], second[key]) for key in common)
    return RunDiff(
        common=len(common),
        moved=tuple(each for each in moved if each is not None),
        new=tuple(sorted(second.keys() - first.keys())),
        gone=tuple(sorted(first.keys() - second.keys())),
        unlike=tuple(unlike),
        subject=tuple(subject_difference(*environments)),
    )


def _by_lane(records: Iterable[LaneRecord], forms: dict[_Form, _Form]) -> dict[tuple[str, str], _Bits]:
    return {(r.cell, r.lane): _bits(r, forms) for r in records if r.outcome is not Outcome.UNRUN}


def _bits(record: LaneRecord, forms: dict[_Form, _Form]) -> _Bits:
    """forms keeps one object for each form: a large run has a million stages and a handful of forms."""
    form = tuple((stage.stage, stage.dtype, stage.shape) for stage in record.stages)
    return record.outcome, record.input_digest, forms.setdefault(form, form), "".join(s.digest for s in record.stages)


def _moved(cell: str, lane: str, before: _Bits, after: _Bits) -> Moved | None:
    """The stages that one of them lacks, or in which they differ; INPUT and OUTCOME come before any stage."""
    if before == after:
        return None
    outcome_a, input_a, form_a, digests_a = before
    outcome_b, input_b, form_b, digests_b = after
    if input_a != input_b:
        return Moved(cell=cell, lane=lane, stage=INPUT)
    if outcome_a is not outcome_b:
        return Moved(cell=cell, lane=lane, stage=OUTCOME)
    a, b = _entries(form_a, digests_a), _entries(form_b, digests_b)
    names = {entry[0] for entry in set(a) ^ set(b)}
    stages = tuple(stage for stage in STAGES if stage in names)
    return Moved(cell=cell, lane=lane, stage=stages[0], stages=stages)


def _entries(form: _Form, digests: str) -> list[tuple[str, str, tuple[int, ...], str]]:
    n = _DIGEST_DIGITS
    return [(*entry, digests[n * i : n * (i + 1)]) for i, entry in enumerate(form)]


def _at_most(n: int, lines: list[str]) -> list[str]:
    """The first lines, and in the n-th the number of those left out."""
    return lines if len(lines) <= n else [*lines[: n - 1], f"and {len(lines) - n + 1} more"]
