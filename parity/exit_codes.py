"""exit code = the worst of what happened: 130 over 2 over 3 over 1 over 4 over 0."""

from collections.abc import Iterable, Mapping
from enum import IntEnum

from parity.verdicts import INCOMPLETE, NEW_DIVERGENCES, Verdict


class ExitCode(IntEnum):
    """What a command tells the shell."""

    PARITY = 0
    DIVERGED = 1
    USAGE = 2
    INCOMPLETE = 3
    LEDGER_STALE = 4
    INTERRUPTED = 130


# A question nobody could answer outranks an answer nobody wanted, and both outrank news that is good.
WORST_FIRST = (
    ExitCode.INTERRUPTED,
    ExitCode.USAGE,
    ExitCode.INCOMPLETE,
    ExitCode.DIVERGED,
    ExitCode.LEDGER_STALE,
    ExitCode.PARITY,
)


def combine(codes: Iterable[int]) -> ExitCode:
    """combine(codes) = the worst of them, PARITY of none. Raises ValueError for a number that is no exit code."""
    return min((ExitCode(code) for code in codes), key=WORST_FIRST.index, default=ExitCode.PARITY)


def exit_code(verdicts: Mapping[Verdict, int], *, lost: int, stale_rows: int = 0) -> ExitCode:
    """The code of one run: from how often each verdict was given, pairs lost, and ledger rows that excuse nothing now.

    UNRUN alone changes nothing. A run in which no pair was judged is INCOMPLETE: nothing was shown to be equal.
    """
    seen = {verdict for verdict, count in verdicts.items() if count}
    codes = [ExitCode.PARITY]
    if lost or not seen or seen & INCOMPLETE:
        codes.append(ExitCode.INCOMPLETE)
    if seen & NEW_DIVERGENCES:
        codes.append(ExitCode.DIVERGED)
    if stale_rows or Verdict.FIXED in seen:
        codes.append(ExitCode.LEDGER_STALE)
    return combine(codes)
