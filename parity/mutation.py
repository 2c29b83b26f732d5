"""mutants.json = the score of the tester: every mutant planted in it, and what caught it.

The score is committed beside this module, every whole run takes it along, and suites/meta measures it anew on every
commit: a row that is no longer so, or is missing, is red there. Plain frozen values: no tensor, no torch.
"""

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from parity.row_file import read_rows, write_rows

FILE_NAME: Final = "mutants.json"
COMMITTED: Final = Path(__file__).resolve().parent
SCHEMA: Final = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Mutation:
    """One mutant. caught_by = where it was seen, "" where nowhere; proof = why nothing can see it, "" where unknown.

    kind: rules, product (one decision at another value), comparator, judge, ledger (a part of the harness gone wrong).
    """

    kind: str
    name: str
    caught_by: str = ""
    proof: str = ""

    @property
    def survives(self) -> bool:
        """Neither caught nor proved equivalent."""
        return not self.caught_by and not self.proof


def write_mutations(directory: Path, found: Iterable[Mutation]) -> Path:
    """The file, written whole into a run directory, or into COMMITTED. Raises StoreError."""
    return write_rows(directory / FILE_NAME, (asdict(each) for each in found), SCHEMA)


def read_mutations(directory: Path) -> tuple[Mutation, ...]:
    """What a run directory holds; () where it has no such file. Raises StoreError for one that cannot be read."""
    return read_rows(directory / FILE_NAME, SCHEMA, lambda row: Mutation(**row))


def score(found: Iterable[Mutation]) -> str:
    """`134 of 136 mutants are caught, 2 are proved equivalent, 0 survive (rules 89, ...).`"""
    rows = tuple(found)
    caught = sum(bool(row.caught_by) for row in rows)
    proved = sum(bool(row.proof) for row in rows if not row.caught_by)
    kinds = {kind: sum(row.kind == kind for row in rows) for kind in dict.fromkeys(row.kind for row in rows)}
    told = ", ".join(f"{kind} {n}" for kind, n in kinds.items())
    survive = sum(row.survives for row in rows)
    return f"{caught} of {len(rows)} mutants are caught, {proved} are proved equivalent, {survive} survive ({told})."
