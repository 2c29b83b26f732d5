"""python -m suites.meta [--write]: plant every mutant, and commit the score that every run's page shows."""

from __future__ import annotations

import argparse
import sys

import torch

from parity.mutation import COMMITTED, score, write_mutations
from suites.meta.score import mutations


def main(argv: list[str] | None = None) -> int:
    """Print the score and every survivor; 1 where there is one."""
    parser = argparse.ArgumentParser(prog="python -m suites.meta", description=__doc__)
    parser.add_argument("--write", action="store_true", help="write the score beside parity/mutation.py")
    given = parser.parse_args(argv)
    torch.set_num_threads(1)
    found = tuple(mutations())
    if given.write:
        write_mutations(COMMITTED, found)
    print(score(found), *(f"survives: {row.kind} {row.name}" for row in found if row.survives), sep="\n")
    return int(any(row.survives for row in found))


if __name__ == "__main__":
    sys.exit(main())
