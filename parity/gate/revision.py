"""gate_against(REV) = the gate of this checkout against a revision of it: both run here, each by its own code.

The base is checked out into a git worktree and runs there with this interpreter, on the candidate's plan; the candidate
then lays its ties where the base laid them, so that a moved rule shows at its own stage.
"""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory

from parity.accepted import read_accepted
from parity.foreign import HOME
from parity.gate.code import Checkout, Here
from parity.gate.gate import Gate, gate
from parity.store import load_run
from parity.whole_file import write_whole


def gate_against(
    revision: str,
    *,
    tier: str,
    select: Mapping[str, tuple[str, ...]],
    lanes: Sequence[str] | None,
    workers: int | None,
    out: Path,
    tell: Callable[[str], None],
) -> Gate:
    """Run both, hold one against the other, and ask which rule moved. Raises ValueError for what is no revision."""
    from parity.gate.evidence import rules_moved, stages_measured
    from parity.matrix import CHUNK_CELLS, plan

    commit = commit_of(revision)
    cells = plan(tier, select=select).cells
    out = out.resolve()
    out.mkdir(parents=True, exist_ok=True)
    named = out / "cells.txt"
    write_whole(named, "".join(f"{cell.id}\n" for cell in cells).encode())
    shared = [*(("--lanes", ",".join(lanes)) if lanes else ()), *(("--workers", str(workers)) if workers else ())]
    if len(cells) <= CHUNK_CELLS:
        shared += ["--executor", "inline"]  # one chunk keeps no worker busy for as long as it takes to start
    chosen = [part for axis, values in select.items() for part in ("--select", f"{axis}={','.join(values)}")]
    baseline, candidate = out / "baseline", out / "candidate"
    with worktree(commit) as root:
        base, own = Checkout(root), Here()
        tell(f"running {revision} ({commit[:12]}), {len(cells):,} cells")
        base.parity("run", "--tier", tier, "--cells", str(named), "--out", str(baseline), *shared)
        tell("running this checkout")
        carried = ("--inputs-of", str(baseline))
        Checkout(HOME).parity("run", "--tier", tier, *chosen, "--out", str(candidate), *carried, *shared)
        before, after = load_run(baseline), load_run(candidate)
        found = gate(before, after, accepted=read_accepted(today=datetime.now(UTC).date()))
        if not found.moves:
            return found
        tell("looking for the rule that moved")
        rules = rules_moved(found, before, after, base, own, lanes)
        return replace(found, rules=rules, measured=stages_measured(found, before, base, own, lanes))


def commit_of(revision: str) -> str:
    """The commit of a revision of this checkout. Raises ValueError where there is none, or no git."""
    try:
        done = subprocess.run(
            ["git", "-C", HOME, "rev-parse", "--verify", "--quiet", "--end-of-options", f"{revision}^{{commit}}"],
            capture_output=True,
            text=True,
            check=False,
        )
    except OSError as error:
        raise ValueError(f"--against needs git, which could not be started: {error.strerror}") from error
    if done.returncode:
        raise ValueError(f"{revision!r} is no revision of {HOME}; fetch it, or name one that `git log` shows")
    return done.stdout.strip()


@contextmanager
def worktree(commit: str) -> Iterator[Path]:
    """The commit checked out in a folder of its own, removed afterwards; the checkout itself is left alone."""
    with TemporaryDirectory(prefix="parity-gate-") as folder:
        root = Path(folder) / "base"
        added = subprocess.run(
            ["git", "-C", HOME, "worktree", "add", "--detach", "--quiet", root, commit],
            capture_output=True,
            text=True,
            check=False,
        )
        if added.returncode:
            raise ValueError(f"git could not check out {commit}: {added.stderr.strip()}")
        try:
            yield root
        finally:
            subprocess.run(["git", "-C", HOME, "worktree", "remove", "--force", root], capture_output=True, check=False)
