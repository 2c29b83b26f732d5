"""The score of the tester on the page: the rows of a run's mutants.json, and those that nothing caught."""

from dataclasses import dataclass

from parity.mutation import Mutation, read_mutations, score
from parity.store import Run
from parity.whole_file import StoreError


@dataclass(frozen=True, slots=True, kw_only=True)
class Mutants:
    """The rows as the run holds them; wrong = why they cannot be shown, "" where they can or there are none."""

    rows: tuple[Mutation, ...] = ()
    wrong: str = ""

    @property
    def sentence(self) -> str:
        """How many were caught, proved equivalent, and neither."""
        return score(self.rows)

    @property
    def uncaught(self) -> tuple[Mutation, ...]:
        """Survivors first, then what is proved equivalent."""
        rows = (row for row in self.rows if not row.caught_by)
        return tuple(sorted(rows, key=lambda row: (not row.survives, row.kind, row.name)))


def mutants(run: Run) -> Mutants:
    """The rows of a run's directory; a file that cannot be read is told, and nothing else is lost with it."""
    try:
        return Mutants(rows=read_mutations(run.directory))
    except StoreError as error:
        return Mutants(wrong=str(error))
