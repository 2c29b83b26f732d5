"""Small runs for the page to show, among them one of hostile text, and a reader of the page's elements."""

import json
from collections.abc import Iterable
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

from parity.explanation import Cause, Explanation
from parity.kept_explanation import Judged, KeptExplanation, Place, Small, Tie, write_explanation
from parity.manifest import Manifest, RunStatus
from parity.record import ByStage, EdgeRecord, LaneRecord
from parity.signature import signature_of
from parity.store import RunWriter
from parity.verdicts import Outcome, Verdict
from reports.payload import unpack
from suites.plain_records import EDGE, differing, lane, manifest, pair, same


class Elements(HTMLParser):
    """Every element of a page with its attributes, and the text of each script."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.starts: list[tuple[str, dict[str, str | None]]] = []
        self.scripts: list[str] = []
        self.words: list[str] = []
        self._inside = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.starts.append((tag, dict(attrs)))
        self._inside = tag
        if tag == "script":
            self.scripts.append("")

    def handle_endtag(self, tag: str) -> None:
        self._inside = ""

    def handle_data(self, data: str) -> None:
        if self._inside == "script":
            self.scripts[-1] += data
        elif self._inside != "style":
            self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())


def diverged(
    cell: str = "default", *, cause: str = "", edge: str = EDGE, message: str = "", ulp: int = 1
) -> EdgeRecord:
    """weight.codes differ in 7 of 100 elements, weight.scale does not."""
    codes = differing("weight.codes", ulp=ulp, count=7)
    return replace(
        pair(cell, Verdict.DIVERGED, edge),
        first_stage="weight.codes",
        stages=ByStage((same("weight.scale"), codes)),
        signature=str(signature_of(edge, codes, cause)),
        cause=cause,
        message=message,
    )


def explanation(cell: str = "default", *, edge: str = EDGE, text: str = "") -> KeptExplanation:
    """Why `diverged` parts, with every field filled in; text stands wherever a record could hold any."""
    a, b = edge.split("~")[:2]
    return KeptExplanation(
        explanation=Explanation(
            cell=cell,
            edge=edge,
            causes=(Cause("code_division", "divide", text or "reciprocal_multiply"),),
            undetermined=((Cause("code_rounding", "half_even", "half_away"),),),
            explained=1.0,
            first_stage="weight.codes",
            given=text or "weight.codes",
            inherited=("weight.dequantized", text or "output"),
            right=a,
        ),
        judged=(
            Judged(lane=a, stage=None, sentence="weight.codes: every element is as declared"),
            Judged(lane=b, stage="weight.codes", sentence=text or "weight.codes[0, 3] is 0xf9, but 0xf8 is declared"),
        ),
        tie=Tie(
            stage="weight.codes",
            index=(0, 3),
            x="-0x1.ep+2",
            places=(
                Place(lane=a, scale="0x1p+0", exact=-7.5, tie=-7.5, ulps=0.0, code=-8.0),
                Place(lane=b, scale="0x1.002p+0", exact=-7.49634, tie=-7.5, ulps=0.9375, code=-7.0),
            ),
        ),
        small=Small(
            cell=text or "default",
            script=f"import torch\n{text}",
            passing=text or "0x1.ep+2",
            moved=text or "weight[0, 3]",
        ),
    )


def unrun(cell: str, why: str, lane_name: str = "engine:ptq") -> EdgeRecord:
    return replace(pair(cell, Verdict.UNRUN), message=f"{lane_name}: {why}")


def write(
    directory: Path, edges: Iterable[EdgeRecord], *, plan: Manifest | None = None, lanes: Iterable[LaneRecord] = ()
) -> Path:
    """A finished run of these records; unless told otherwise all their cells are planned on all their edges."""
    records = list(edges)
    cells = tuple(dict.fromkeys(record.cell for record in records))
    plan = plan or manifest(cells, tuple(dict.fromkeys(record.edge for record in records)))
    writer = RunWriter(directory, plan)
    writer.write("0", list(lanes), records)
    writer.close(RunStatus.COMPLETE)
    return directory


def data_of(text: str) -> tuple[dict[str, Any], dict[str, Any]]:
    return unpack(json.loads(Elements(text).scripts[0]))


HOSTILE = (
    "</script><script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    '"><svg onload=alert(1)>',
    "{{ 7 * 7 }}{% raise %}",
    "<!--<script>",
    "javascript:alert(1)",
    "\u2028\u202e]]>&amp;&lt;",
)


def hostile_run(directory: Path) -> Path:
    """Every text of a record, of the plan and of the environment is out to be markup."""
    edges = []
    for i, text in enumerate(HOSTILE):
        edge = f"{text.replace('|', '')}~b{i}"
        edges.append(replace(diverged(text, edge=edge, cause=text, message=text), ledger=text, contract=text))
        edges.append(replace(pair(text, Verdict.UNRUN, EDGE), message=text))
    lanes = [replace(lane(text, text, Outcome.RAN, text), coverage=((text, 2),)) for text in HOSTILE]
    plan = manifest(HOSTILE, tuple(dict.fromkeys(record.edge for record in edges)))
    environment = replace(
        plan.environment, setting=dict.fromkeys(HOSTILE, HOSTILE[0]), subject=dict.fromkeys(HOSTILE, HOSTILE[1])
    )
    plan = replace(plan, tier=HOSTILE[1], argv=HOSTILE, cut=HOSTILE, environment=environment, started=HOSTILE[2])
    write(directory, edges, plan=plan, lanes=lanes)
    for i, text in enumerate(HOSTILE):
        write_explanation(directory, explanation(text, edge=f"{text.replace('|', '')}~b{i}", text=text))
    return directory
