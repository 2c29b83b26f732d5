"""A pair of lanes gets exactly one Verdict; a lane that was asked to run ends in exactly one Outcome."""

from enum import StrEnum


class Outcome(StrEnum):
    """How one lane ended on one cell."""

    RAN = "ran"
    RAISED = "raised"
    UNRUN = "unrun"
    CRASHED = "crashed"
    TIMEOUT = "timeout"


class Verdict(StrEnum):
    """What one edge turned out to be on one cell; planned pairs = the sum over these."""

    IDENTICAL = "identical"
    WITHIN = "within"
    DIVERGED = "diverged"
    KNOWN = "known"
    FIXED = "fixed"
    UNSUPPORTED = "unsupported"
    UNRUN = "unrun"
    NONDETERMINISTIC = "nondeterministic"
    CRASHED = "crashed"
    TIMEOUT = "timeout"


# New divergences: exit code 1.
NEW_DIVERGENCES = frozenset({Verdict.DIVERGED, Verdict.NONDETERMINISTIC})

# Pairs that were planned and whose bits nobody saw, though the device is here: exit code 3.
INCOMPLETE = frozenset({Verdict.CRASHED, Verdict.TIMEOUT})

# Neither side has anything to answer for.
GREEN = frozenset({Verdict.IDENTICAL, Verdict.WITHIN, Verdict.KNOWN, Verdict.UNSUPPORTED, Verdict.UNRUN})
