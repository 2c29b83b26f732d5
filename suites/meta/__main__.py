"""python -m suites.meta RUN: plant every mutant, write the score into a run, and render its page again."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import torch

from parity.mutation import score, write_mutations
from reports.render import write_report
from suites.meta.score import mutations


def main(argv: list[str] | None = None) -> int:
    """Print the score and every survivor; 1 where there is one."""
    parser = argparse.ArgumentParser(prog="python -m suites.meta", description=__doc__)
    parser.add_argument("run", nargs="?", type=Path, help="a run directory, whose page shows the score then")
    given = parser.parse_args(argv)
    torch.set_num_threads(1)
    found = tuple(mutations())
    if given.run is not None:
        write_mutations(given.run, found)
        write_report(given.run)
    print(score(found), *(f"survives: {row.kind} {row.name}" for row in found if row.survives), sep="\n")
    return int(any(row.survives for row in found))


if __name__ == "__main__":
    sys.exit(main())
