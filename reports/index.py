"""write_index(RUNS) writes RUNS/index.html and a page a night, static, from disk; an added night reads no other anew.

RUNS/index.html    RUNS/nights/NAME.html    RUNS/nights/NAME.json    beside the run directories RUNS/NAME
"""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

from markupsafe import Markup

from parity.gate.changes import Change, Kind, changes
from parity.manifest import FILE_NAME
from parity.setting import Environment as Machine
from parity.setting import difference, subject_difference
from parity.store import Run, load_run
from parity.whole_file import StoreError, write_whole
from reports import assets
from reports.night import Night, night, stamp_of
from reports.render import embedded, template
from reports.trend import Life, trend

NIGHTS = "nights"

# Signatures and nights in the tables of the page itself; the JSON beside it has all of them.
MOST_SIGNATURES = 200
MOST_BARS = 120


@dataclass(frozen=True, slots=True, kw_only=True)
class Index:
    """Where the dashboard is, its nights in the order of their start, and those that were read for it now."""

    path: Path
    nights: tuple[Night, ...]
    read: tuple[str, ...]
    skipped: tuple[str, ...]


def write_index(root: Path) -> Index:
    """Bring RUNS/index.html up to date. Raises StoreError where RUNS holds no run that can be read."""
    found: dict[str, Night] = {}
    read: list[str] = []
    skipped: list[str] = []
    runs = _Runs(root)
    for directory in sorted(path.parent for path in root.glob(f"*/{FILE_NAME}")):
        try:
            found[directory.name] = _kept(root, directory) or runs.night(directory, read)
        except StoreError as error:
            skipped.append(str(error))
    if not found:
        raise StoreError(f"{root} holds no run that can be read; `parity run` makes one.")
    nights = tuple(sorted(found.values(), key=lambda each: (each.started, each.name)))
    for before, after in pairwise((None, *nights)):
        assert after is not None
        _write_night(runs, before, after)
    path = root / "index.html"
    write_whole(path, _page("index.html", _shown(nights, skipped)).encode())
    return Index(path=path, nights=nights, read=tuple(read), skipped=tuple(skipped))


class _Runs:
    """The runs that had to be opened, each at most once."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._open: dict[str, Run] = {}

    def __getitem__(self, name: str) -> Run:
        if name not in self._open:
            self._open[name] = load_run(self.root / name)
        return self._open[name]

    def night(self, directory: Path, read: list[str]) -> Night:
        """The run read anew, kept, and given back as it will be read the next time."""
        text = night(self[directory.name], stamp_of(directory)).to_json()
        read.append(directory.name)
        folder = self.root / NIGHTS
        folder.mkdir(exist_ok=True)
        write_whole(folder / f"{directory.name}.json", text.encode())
        return Night.from_json(text)


def _kept(root: Path, directory: Path) -> Night | None:
    """The night as it was kept, if its run has not changed since."""
    try:
        kept = Night.from_json((root / NIGHTS / f"{directory.name}.json").read_text(encoding="utf-8"))
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return kept if kept.stamp == stamp_of(directory) else None


def _write_night(runs: _Runs, before: Night | None, after: Night) -> None:
    """The night's page, unless it stands there already, made of this run and of the same one before it."""
    path = runs.root / NIGHTS / f"{after.name}.html"
    made_of = f"{after.stamp} {'' if before is None else before.stamp}"
    if path.exists() and f'data-made-of="{made_of}"' in path.read_text(encoding="utf-8")[:400]:
        return
    told = () if before is None else changes(runs[before.name], runs[after.name])
    shown = {
        "made_of": made_of,
        "night": after,
        "before": before,
        "changes": told,
        "kinds": _by_kind(told),
        "unlike": () if before is None else unlike(before, after),
        "report": (runs.root / after.name / "report.html").exists(),
    }
    write_whole(path, _page("night.html", shown).encode())


def unlike(before: Night, after: Night) -> tuple[str, ...]:
    """How two nights' environments differ: the setting first, then the subject."""
    a, b = (Machine(setting=each.setting, subject=each.subject) for each in (before, after))
    return (*difference(a, b), *subject_difference(a, b))


def _by_kind(told: Sequence[Change]) -> dict[Kind, tuple[Change, ...]]:
    return {kind: tuple(each for each in told if each.kind is kind) for kind in Kind}


def _shown(nights: Sequence[Night], skipped: Sequence[str]) -> dict[str, Any]:
    lives = trend(nights)
    return {
        "nights": nights,
        "last": nights[-1],
        "lives": lives[:MOST_SIGNATURES],
        "more": max(0, len(lives) - MOST_SIGNATURES),
        "bars": _bars(nights[-MOST_BARS:]),
        "spark": _spark,
        "skipped": skipped,
        "data": embedded([_plain(each) for each in nights]),
    }


def _plain(each: Night) -> dict[str, Any]:
    facts = asdict(each)
    return {
        key: facts[key] for key in ("name", "started", "sentence", "signatures", "cells", "bits", "setting", "subject")
    }


def _bars(nights: Sequence[Night]) -> list[dict[str, Any]]:
    """Places of the bars in a chart 100 high: new on top of known, by the largest sum."""
    most = max([each.new + each.known for each in nights], default=0) or 1
    return [
        {"night": each, "new": round(100 * each.new / most, 2), "known": round(100 * each.known / most, 2)}
        for each in nights
    ]


def _spark(life: Life, wide: int = 60) -> list[tuple[int, float]]:
    """(place, height of 12) of the last nights on which it was there."""
    shown = life.pairs[-wide:]
    most = max(shown, default=0) or 1
    return [(place, max(1.0, round(12 * n / most, 2))) for place, n in enumerate(shown) if n]


def _page(name: str, shown: dict[str, Any]) -> str:
    script, style = assets.index_script(), assets.index_style()
    return template(name).render(
        **shown,
        policy=assets.policy(script, style),
        script=Markup(script),  # noqa: S704  our own file: escaping it would change its hash
        style=Markup(style),  # noqa: S704  the same
    )


def index_json(index: Index) -> str:
    """What the command prints with --json: every night's sentence and counts, and each signature's life."""
    lives = trend(index.nights)
    return json.dumps(
        {
            "index": str(index.path),
            "read": list(index.read),
            "skipped": list(index.skipped),
            "nights": [
                {"name": each.name, "started": each.started, "status": each.status, "sentence": each.sentence}
                for each in index.nights
            ],
            "signatures": [
                {
                    "signature": life.text,
                    "born": index.nights[life.born].name,
                    "died": None if life.died is None else index.nights[life.died].name,
                    "moved_from": life.moved,
                    "pairs": list(life.pairs),
                }
                for life in lives
            ],
        },
        indent=1,
    )
