"""detection.json of a run = for each bug of the past, which kinds of inputs show it, and what is said of its cause.

Plain frozen values: no tensor, no torch.
"""

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from parity.row_file import read_rows, write_rows

FILE_NAME: Final = "detection.json"
SCHEMA: Final = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Tried:
    """Of `tried` layers with inputs of one kind, the two lanes part on `found`."""

    tried: int
    found: int

    @property
    def detects(self) -> bool:
        """Whether any of them shows the bug."""
        return self.found > 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Detection:
    """One bug of the past. stage and sentence are what directed inputs lead to; as_known = both are the right ones."""

    case: str
    origin: str
    told: str
    random_fp32: Tried
    random_16_bit: Tried
    directed: Tried
    stage: str
    sentence: str
    as_known: bool


def write_detections(directory: Path, found: Iterable[Detection]) -> Path:
    """The file, written whole into a run directory. Raises StoreError."""
    return write_rows(directory / FILE_NAME, (asdict(each) for each in found), SCHEMA)


def read_detections(directory: Path) -> tuple[Detection, ...]:
    """What a run directory holds; () where it has no such file. Raises StoreError for one that cannot be read."""
    return read_rows(directory / FILE_NAME, SCHEMA, _detection)


def _detection(row: dict[str, Any]) -> Detection:
    kinds = {name: Tried(**row[name]) for name in ("random_fp32", "random_16_bit", "directed")}
    return Detection(**{**row, **kinds})
