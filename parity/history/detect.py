"""Which kinds of inputs show a bug of the past: the same two lanes on random and on directed layers."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from parity.detection import Detection, Tried
from parity.explain import explain
from parity.explanation import Explanation
from parity.history.case import HistoryCase
from parity.history.schemes import BF16, FP16, FP32
from parity.record import EdgeRecord
from parity.verdicts import Verdict

# Layers of each kind: the premerge tier gives a configuration as few, directed and random alike.
DRAWS: Final = 2


def detections(cases: Sequence[HistoryCase]) -> Iterator[Detection]:
    """One for each case, in their order."""
    for case in cases:
        yield detect(case)


def detect(case: HistoryCase) -> Detection:
    """The case on random fp32, random 16-bit and directed layers, and what is said of the first directed one.

    What the lanes declare as the model's dtype is that of the layer: random fp32 tests them as an fp32 model does.
    """
    first = case.compared()
    found = explain(first)
    return Detection(
        case=case.name,
        origin=case.origin,
        told=case.told,
        random_fp32=_counted(case.compared("random", seed=seed, dtype=FP32) for seed in range(DRAWS)),
        random_16_bit=_counted(case.compared("random", seed=0, dtype=dtype) for dtype in (BF16, FP16)),
        directed=_counted((first, *(case.compared(seed=seed) for seed in range(1, DRAWS)))),
        stage=found.first_stage or "",
        sentence=found.sentence,
        as_known=_as_known(case, found),
    )


def _counted(records: Iterable[EdgeRecord]) -> Tried:
    """How many show the bug; lanes that both refuse a dtype say nothing."""
    verdicts = [record.verdict for record in records]
    compared = [verdict for verdict in verdicts if verdict in (Verdict.IDENTICAL, Verdict.DIVERGED)]
    return Tried(tried=len(compared), found=compared.count(Verdict.DIVERGED))


def _as_known(case: HistoryCase, found: Explanation) -> bool:
    """Whether stage and decisions are the case's own; one that no decision is behind must come out unexplained."""
    if found.first_stage != case.first_stage:
        return False
    if case.spoiled:
        return not found.causes and found.explained < 1
    return case.causes in [frozenset(causes) for causes in (found.causes, *found.undetermined)]
