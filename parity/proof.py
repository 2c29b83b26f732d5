"""A proof = a claim held over every operand of a finite domain: how many there were, and on how many two parties part.

A run directory keeps each in `proofs/NAME.json`, whose fields are those of `Proof`, with "schema" beside them.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from hashlib import blake2b
from pathlib import Path
from typing import Final

from parity.setting import Environment
from parity.whole_file import StoreError, write_whole

SCHEMA: Final = 1
FOLDER: Final = "proofs"


@dataclass(frozen=True, slots=True, kw_only=True)
class Witness:
    """One operand on which the parties part: operands by name and both results, floats in hexadecimal."""

    operands: Mapping[str, str]
    a: Mapping[str, str]
    b: Mapping[str, str]

    @property
    def sentence(self) -> str:
        """`x=0x1.8p+0, scale=0x1.0p-3: codes 7 against 6`."""
        given = ", ".join(f"{name}={value}" for name, value in self.operands.items())
        told = ", ".join(f"{name} {self.a[name]} against {self.b[name]}" for name in self.a)
        return f"{given}: {told}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Proof:
    """claim = `quantize:engine~oracle:bf16,scale:bf16,int,4bit,z:0`; its parts stand beside it.

    domain, not_covered, method = sentences. pairs = operands that were run, n_different = those on which the parties
    part, of them (reason, count) in `parts`. witness is None where n_different is 0. device = where the lanes ran,
    eagerly. seconds = how long. made = UTC in ISO 8601.
    """

    claim: str
    step: str
    a: str
    b: str
    dtype: str
    scale_dtype: str
    zero_point_domain: str
    bits: int
    domain: str
    not_covered: tuple[str, ...]
    method: str
    pairs: int
    n_different: int
    parts: tuple[tuple[str, int], ...] = ()
    witness: Witness | None = None
    device: str
    seconds: float
    environment: Environment
    made: str

    @property
    def proved(self) -> bool:
        return self.n_different == 0

    @property
    def sentence(self) -> str:
        """`proved: engine = oracle at quantize, 2,130,673,920 of 2,130,673,920 equal`."""
        if self.proved:
            return f"proved: {self.a} = {self.b} at {self.step}, all {self.pairs:,} equal"
        parts = "".join(f", {count:,} of them where {reason}" for reason, count in self.parts)
        told = f"refuted: {self.a} = {self.b} at {self.step}, {self.n_different:,} of {self.pairs:,} differ{parts}"
        return told if self.witness is None else f"{told}; {self.witness.sentence}"

    @property
    def name(self) -> str:
        """The file's name without suffix: the claim, as far as it can be read, and a digest of it and its device."""
        readable = re.sub(r"[^a-z0-9]+", "-", self.claim.lower())[:80].strip("-")
        held = self.claim if self.device == "cpu" else f"{self.claim}@{self.device}"
        return f"{readable}-{blake2b(held.encode(), digest_size=4).hexdigest()}"

    def to_json(self) -> str:
        """The proof as JSON; from_json reads it back to an equal value."""
        return json.dumps({"schema": SCHEMA, **asdict(self)}, indent=1) + "\n"

    @classmethod
    def from_json(cls, text: str) -> Proof:
        """Raises ValueError for text that is no proof of this schema."""
        facts = json.loads(text)
        if not isinstance(facts, dict) or facts.pop("schema", None) != SCHEMA:
            raise ValueError(f"its schema is not {SCHEMA}, the only one that this version reads")
        witness, environment = facts.pop("witness", None), facts.pop("environment", {})
        not_covered, parts = facts.pop("not_covered", ()), facts.pop("parts", ())
        try:
            return cls(
                witness=None if witness is None else Witness(**witness),
                environment=Environment(**environment),
                not_covered=tuple(not_covered),
                parts=tuple((reason, count) for reason, count in parts),
                **facts,
            )
        except TypeError as error:
            raise ValueError(f"one of its fields is missing or unknown: {error}") from error


def write_proof(directory: Path, proof: Proof) -> Path:
    """DIRECTORY/proofs/NAME.json, in place of an earlier proof of the same claim on the same device.

    Raises StoreError.
    """
    path = directory / FOLDER / f"{proof.name}.json"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StoreError(f"{path.parent} could not be made: {error.strerror}.") from error
    write_whole(path, proof.to_json().encode())
    return path


def read_proofs(directory: Path) -> Iterator[Proof]:
    """Every proof of a run, by name. Raises StoreError for a file that is none."""
    for path in sorted((directory / FOLDER).glob("*.json")):
        try:
            yield Proof.from_json(path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise StoreError(f"{path} is no proof that can be read: {error}.") from error
