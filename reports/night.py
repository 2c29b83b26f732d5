"""night(directory) = one run as a line of the dashboard: its sentence, counts, signatures, and where its bits stand.

A night is read once: it is kept as JSON beside the dashboard, and read again only where its run has changed.
"""

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from hashlib import blake2b
from pathlib import Path
from typing import Any

import numpy as np

from parity.exit_codes import exit_code
from parity.manifest import FILE_NAME, reconciliation
from parity.record import STAGES
from parity.setting import Fact
from parity.store import RECORDS, Run
from parity.verdicts import NEW_DIVERGENCES, Verdict
from reports.summary import verdict_sentence

SCHEMA = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Night:
    """One run. signatures = text -> [pairs, new pairs]; bits = "lane|stage" -> a digest over all its cells.

    cells = a digest of the planned ids: two nights' bits can be told apart only where it is equal. stamp = what the
    run's files were when it was read.
    """

    name: str
    stamp: str
    started: str
    tier: str
    sentence: str
    status: str
    planned: int
    verdicts: Mapping[str, int]
    signatures: Mapping[str, tuple[int, int]]
    cells: str
    bits: Mapping[str, str]
    setting: Mapping[str, Fact]
    subject: Mapping[str, Fact]

    @property
    def new(self) -> int:
        return sum(new for _, new in self.signatures.values())

    @property
    def known(self) -> int:
        return self.verdicts.get(Verdict.KNOWN.value, 0)

    def to_json(self) -> str:
        """from_json(to_json()) is an equal night."""
        return json.dumps({"schema": SCHEMA, **asdict(self)}, indent=1, sort_keys=True) + "\n"

    @classmethod
    def from_json(cls, text: str) -> "Night":
        """Raises ValueError, KeyError or TypeError for text that is none of this schema."""
        facts: dict[str, Any] = json.loads(text)
        if facts.pop("schema") != SCHEMA:
            raise ValueError("it is of another schema")
        facts["signatures"] = {text: (pairs, new) for text, (pairs, new) in facts["signatures"].items()}
        return cls(**facts)


def night(run: Run, stamp: str) -> Night:
    """What the dashboard keeps of a run."""
    manifest = run.manifest
    counts = reconciliation(manifest, run.judged())
    missing = counts.lost + sum(edge.extra for edge in counts.edges) + len(run.lost)
    return Night(
        name=run.directory.name,
        stamp=stamp,
        started=manifest.started,
        tier=manifest.tier,
        sentence=verdict_sentence(run),
        status=exit_code(counts.verdicts, lost=missing).name.lower(),
        planned=counts.planned,
        verdicts={verdict.value: n for verdict, n in counts.verdicts.items()},
        signatures=_signatures(run),
        cells=blake2b("\n".join(manifest.planned).encode(), digest_size=8).hexdigest(),
        bits=_bits(run),
        setting=dict(manifest.environment.setting),
        subject=dict(manifest.environment.subject),
    )


def stamp_of(directory: Path) -> str:
    """Other bytes of the manifest, or other record files, are another stamp."""
    files = sorted((path.name, path.stat().st_size) for path in (directory / RECORDS).glob("*.parquet"))
    read = blake2b((directory / FILE_NAME).read_bytes(), digest_size=8)
    read.update(json.dumps(files).encode())
    return read.hexdigest()


def _signatures(run: Run) -> dict[str, tuple[int, int]]:
    pairs, new = Counter[str](), Counter[str]()
    columns = (run.edges.column(name) for name in ("signature", "verdict"))
    for signature, verdict in zip(*columns, strict=True):
        if signature:
            pairs[signature] += 1
            new[signature] += verdict in NEW_DIVERGENCES
    return {signature: (n, new[signature]) for signature, n in sorted(pairs.items())}


def _bits(run: Run) -> dict[str, str]:
    """For each lane and stage the sum, modulo 2^64, of its cells' digests, each mixed with its cell's own hash."""
    table = run.lanes.table.select(["cell", "lane", "stages"]).combine_chunks()
    if not len(table):
        return {}
    cells = table.column("cell").combine_chunks().dictionary_encode()
    lanes = table.column("lane").combine_chunks().dictionary_encode()
    own = np.array([_hash(cell) for cell in cells.dictionary.to_pylist()], np.uint64)
    nested = table.column("stages").combine_chunks()
    rows = np.repeat(np.arange(len(table)), nested.value_lengths().to_numpy())
    values = nested.flatten()
    stages = values.field("stage").dictionary_encode()
    names = stages.dictionary.to_pylist()
    mixed = values.field("digest").to_numpy() * (own[cells.indices.to_numpy()][rows] | np.uint64(1))
    group = lanes.indices.to_numpy()[rows].astype(np.int64) * len(names) + stages.indices.to_numpy()
    sums = np.zeros(len(lanes.dictionary) * len(names), np.uint64)
    np.add.at(sums, group, mixed)
    seen = np.unique(group).tolist()
    of = {(lanes.dictionary[g // len(names)].as_py(), names[g % len(names)]): f"{int(sums[g]):016x}" for g in seen}
    return {f"{lane}|{stage}": of[lane, stage] for lane, stage in sorted(of, key=lambda k: (k[0], STAGES.index(k[1])))}


def _hash(text: str) -> int:
    return int.from_bytes(blake2b(text.encode(), digest_size=8).digest(), "little")
