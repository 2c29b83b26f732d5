"""accept = rows for what is new and wanted all the same: divergences into the ledger, moved bits beside it.

A row is written with its reason, its owner and the day it ends, and is read back before the file is replaced. Nothing
is accepted where CI is set: what answers for a divergence is a person's decision, seen in a diff.
"""

from __future__ import annotations

import json
import os
import re
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any, Final

from parity.accepted import parse_accepted
from parity.axes import AXES
from parity.cells import parse_cell
from parity.ledger import parse_ledger
from parity.signature import NONE, Signature
from parity.store import Run
from parity.verdicts import Verdict
from parity.whole_file import write_whole

# More values of one axis tell nobody where a divergence is to be expected.
_MOST_VALUES: Final = 3
_SKIPPED: Final = ("case",)  # which draw it was


class AcceptError(ValueError):
    """Nothing can be accepted here, or not like this."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Why:
    """What every row needs: why it is right so, who minds it, where it is discussed, from when and until when."""

    reason: str
    owner: str
    link: str
    today: date
    expires: date

    def __post_init__(self) -> None:
        if not self.reason.strip() or not self.owner.strip():
            raise AcceptError("a divergence is accepted with a reason and an owner; one of them is empty")
        if self.expires < self.today:
            raise AcceptError(f"the row would expire on {self.expires}, and today is {self.today}; name a later day")


def refuse_in_ci() -> None:
    """Raises AcceptError where the environment says CI."""
    if os.environ.get("CI"):
        raise AcceptError("nothing is accepted where CI is set: run `parity accept` by hand and commit what it writes")


def ledger_rows(run: Run, why: Why, taken: Collection[str] = ()) -> list[str]:
    """One row a signature of the run's new divergences, as TOML; taken = the ids there are.

    Its `where` holds the axis values that all its cells share and others have not. Raises AcceptError for a pair that
    is not the same twice, and where nothing is new.
    """
    names = ("cell", "edge", "verdict", "signature")
    pairs = list(zip(*(run.edges.column(name) for name in names), strict=True))
    if unsteady := [cell for cell, _, verdict, _ in pairs if verdict == Verdict.NONDETERMINISTIC]:
        raise AcceptError(f"{unsteady[0]} is not the same twice; no row can describe that")
    new: defaultdict[str, list[str]] = defaultdict(list)
    of_edge: defaultdict[str, list[str]] = defaultdict(list)
    for cell, edge, verdict, signature in pairs:
        of_edge[edge].append(cell)
        if verdict == Verdict.DIVERGED:
            new[signature].append(cell)
    if not new:
        raise AcceptError(f"{run.directory} has no new divergence, so there is nothing to accept")
    rows, ids = [], set(taken)
    for text, cells in sorted(new.items()):
        signature = Signature.parse(text)
        ids.add(name := _free(_id_of(signature), ids))
        rows.append(_ledger_row(name, signature, where_of(cells, of_edge[signature.edge]), why))
    return rows


def move_rows(gate: Mapping[str, Any], why: Why) -> list[str]:
    """One row a move of a gate's JSON, as TOML. Raises AcceptError where nothing moved or the gate saw too little."""
    if gate.get("holes"):
        raise AcceptError(f"the gate is incomplete ({gate['holes'][0]}), so what moved is not known")
    if not gate.get("moves"):
        raise AcceptError("no bit moved in this gate, so there is nothing to accept")
    return [
        _table("move", {**{name: move[name] for name in ("lane", "stage", "cells", "digest")}, **_why(why)})
        for move in gate["moves"]
    ]


def append(path: Path, rows: Sequence[str]) -> None:
    """The file with the rows behind what it holds, checked before it is replaced. Raises LedgerError, StoreError."""
    before = path.read_text(encoding="utf-8") if path.exists() else ""
    text = "\n".join([before.rstrip("\n") + "\n", *rows] if before.strip() else rows)
    if rows and rows[0].startswith("[[move]]"):
        parse_accepted(text)
    else:
        parse_ledger(text, axes=AXES)
    write_whole(path, text.encode())


def where_of(cells: Sequence[str], others: Iterable[str]) -> dict[str, list[str]]:
    """Axis -> values, for axes on which the cells have few values and all cells of the edge more."""
    own, every = _values(cells), _values(others)
    return {
        axis: sorted(own[axis], key=AXES[axis].values.index)
        for axis in AXES
        if axis not in _SKIPPED and len(own[axis]) <= _MOST_VALUES and own[axis] < every[axis]
    }


def _values(cells: Iterable[str]) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {axis: set() for axis in AXES}
    for cell in cells:
        for axis, value in zip(AXES, parse_cell(cell).values, strict=True):
            found[axis].add(value)
    return found


def _ledger_row(name: str, signature: Signature, where: Mapping[str, list[str]], why: Why) -> str:
    facts: dict[str, object] = {
        "id": name,
        "edge": signature.edge,
        "first_stage": signature.first_stage,
        "cause": signature.cause,
        "where": where,
        "ulp_class": "any" if signature.ulp_class == NONE else signature.ulp_class,
        "count_class": "any",  # how many of its elements part depends on a cell's draw
    }
    return _table("row", {**facts, **_why(why)})


def _why(why: Why) -> dict[str, object]:
    return {"reason": why.reason, "owner": why.owner, "link": why.link, "date": why.today, "expires": why.expires}


def _table(kind: str, facts: Mapping[str, object]) -> str:
    return "\n".join([f"[[{kind}]]", *(f"{name} = {_toml(value)}" for name, value in facts.items()), ""])


def _toml(value: object) -> str:
    if isinstance(value, Mapping):
        inner = ", ".join(f"{name} = {_toml(each)}" for name, each in value.items())
        return f"{{ {inner} }}" if inner else "{}"
    if isinstance(value, list):
        return f"[{', '.join(map(_toml, value))}]"
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    return str(value)


def _id_of(signature: Signature) -> str:
    """torchao-ptq-torchao-qat-prepare-input-scale of an edge and a stage."""
    return re.sub(r"[^a-z0-9]+", "-", f"{signature.edge} {signature.first_stage}".lower()).strip("-")


def _free(name: str, taken: Collection[str]) -> str:
    return next(each for each in _numbered(name) if each not in taken)


def _numbered(name: str) -> Iterator[str]:
    yield name
    number = 1
    while True:
        number += 1
        yield f"{name}-{number}"
