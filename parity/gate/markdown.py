"""markdown(gate) = the gate as a comment for a pull request: at most 60 lines, what is red first."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from parity.exit_codes import ExitCode
from parity.explanation import cause_sentence
from parity.gate.changes import Change, Kind
from parity.gate.gate import Gate
from parity.gate.moves import Move

LINES: Final = 60
_HOLES, _RULES, _MOVES, _CHANGES, _SUBJECTS = 4, 3, 11, 12, 3


def markdown(gate: Gate) -> str:
    """The comment. Text that came from records can neither end a cell of a table nor become markup."""
    share = 100 * gate.outputs[0] / gate.outputs[1] if gate.outputs[1] else 0.0
    cells = gate.cells
    lines = [
        f"## parity: {'green' if gate.code is ExitCode.PARITY else 'red'}, {gate.code.name.lower().replace('_', ' ')}",
        "",
        f"{_text(gate.sentence)}.",
        "",
        f"Outputs moved: {gate.outputs[0]:,} of {gate.outputs[1]:,} ({share:.2g} %). "
        f"Cells: {cells.common:,} common, {cells.new:,} new, {cells.gone:,} gone.",
    ]
    lines += _items(gate.holes, _HOLES)
    if gate.rules:
        lines += ["", "**Rules that moved**", "", *_items([rule.told for rule in gate.rules], _RULES)]
    if gate.moves:
        lines += ["", "**Moved bits**", "", *_moves(gate)]
    told = [change for change in gate.changes if change.kind is not Kind.UNCHANGED]
    if told:
        lines += ["", "**Divergences between lanes**", "", *_changes(told)]
    if unchanged := gate.of_kind(Kind.UNCHANGED):
        lines += ["", f"Unchanged: {len(unchanged):,} signatures, {sum(each.pairs for each in unchanged):,} pairs."]
    lines += ["", f"Subject `{_code(gate.subject)}`:", *_items(gate.differs or ("nothing of it differs",), _SUBJECTS)]
    assert len(lines) <= LINES, "the parts' own limits keep the whole within its lines"
    return "\n".join(lines) + "\n"


def _moves(gate: Gate) -> list[str]:
    rows = [
        (move.stage, move.lane, f"{len(move.cells):,}", f"{move.outputs:,}", _measured(gate, move), move.example)
        for move in gate.moves
    ]
    return _table(("first stage", "lane", "cells", "outputs", "measured in one of them", "that one"), rows, _MOVES)


def _measured(gate: Gate, move: Move) -> str:
    """Of the output where it was measured, or of the stage that moved first."""
    of_move = [each for each in gate.measured if (each.cell, each.lane) == (move.example, move.lane)]
    told = {each.stage: each.told for each in of_move}
    last = f"output: {told['output']}" if "output" in told else ""
    return last or told.get(move.stage, "-")


def _changes(told: Sequence[Change]) -> list[str]:
    rows = [
        (
            change.kind.value + (f", excused by {', '.join(change.rows)}" if change.rows and not change.red else ""),
            f"{change.pairs:,}",
            change.parts.edge,
            cause_sentence(change.parts.first_stage, change.parts.cause),
            change.cell,
        )
        for change in told
    ]
    return _table(("what", "pairs", "edge", "why", "for example"), rows, _CHANGES)


def _table(columns: Sequence[str], rows: Sequence[Sequence[str]], most: int) -> list[str]:
    body = ["| " + " | ".join(f"`{_code(text)}`" if text else "" for text in row) + " |" for row in rows[:most]]
    more = [f"| and {len(rows) - most:,} more |" + " |" * (len(columns) - 1)] if len(rows) > most else []
    return [f"| {' | '.join(columns)} |", "|" + " --- |" * len(columns), *body, *more]


def _items(texts: Sequence[str], most: int) -> list[str]:
    told = [f"- {_text(text)}" for text in texts[:most]]
    return [*told, f"- and {len(texts) - most:,} more"] if len(texts) > most else told


def _text(text: str) -> str:
    """Prose: what Markdown or HTML would read as markup is written as itself."""
    plain = " ".join(text.split())
    for mark in "\\`*_[]<>|#@":
        plain = plain.replace(
            mark, f"\\{mark}" if mark not in "<>@" else {"<": "&lt;", ">": "&gt;", "@": "&#64;"}[mark]
        )
    return plain


def _code(text: str) -> str:
    """Between back quotes in a cell of a table: no back quote, no bar of its own, one line."""
    return " ".join(text.split()).replace("`", "'").replace("|", "\\|")
