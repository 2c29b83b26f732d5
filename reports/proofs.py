"""What a run holds proofs of: each claim with its domain, its count, and what was not covered."""

from dataclasses import dataclass

from parity.proof import Proof, read_proofs
from parity.store import Run
from parity.whole_file import StoreError


@dataclass(frozen=True, slots=True, kw_only=True)
class Proofs:
    """Refutations first, then by claim. wrong = why they cannot be shown, "" where they can or there are none.

    commit = that of the run: a proof of other code says so.
    """

    rows: tuple[Proof, ...] = ()
    commit: str = ""
    wrong: str = ""

    @property
    def sentence(self) -> str:
        """`Of 17 claims 16 are proved, 21,306,739,200 operands in all; 1 is refuted.`"""
        proved = [row for row in self.rows if row.proved]
        refuted = len(self.rows) - len(proved)
        told = (
            f"Of {len(self.rows)} claims {len(proved)} are proved, {sum(row.pairs for row in proved):,} operands in all"
        )
        return f"{told}; {refuted} refuted." if refuted else f"{told}."

    def elsewhere(self, row: Proof) -> str:
        """Where a proof was made, if not by the run's own code: the first characters of its commit."""
        commit = str(row.environment.subject.get("engine_commit") or "")
        return "" if commit == self.commit else commit[:10] or "an unknown commit"


def proofs(run: Run) -> Proofs:
    """The proofs in a run's directory; a file that cannot be read is told, and nothing else is lost with it."""
    try:
        rows = sorted(read_proofs(run.directory), key=lambda proof: (proof.proved, proof.claim, proof.device))
    except StoreError as error:
        return Proofs(wrong=str(error))
    commit = run.manifest.environment.subject.get("engine_commit")
    return Proofs(rows=tuple(rows), commit=str(commit or ""))
