"""Which bugs of the past which kinds of inputs show: the rows of a run's detection.json, counted."""

from dataclasses import dataclass

from parity.detection import Detection, read_detections
from parity.store import Run
from parity.whole_file import StoreError


@dataclass(frozen=True, slots=True, kw_only=True)
class Detections:
    """The rows as the run holds them; wrong = why they cannot be shown, "" where they can or there are none."""

    rows: tuple[Detection, ...] = ()
    wrong: str = ""

    @property
    def sentence(self) -> str:
        """`Of 26 bugs of the past directed inputs show 26, random 16-bit ones 23, random fp32 ones 8.`"""
        directed = sum(row.directed.detects for row in self.rows)
        narrow = sum(row.random_16_bit.detects for row in self.rows)
        wide = sum(row.random_fp32.detects for row in self.rows)
        known = sum(row.as_known for row in self.rows)
        return (
            f"Of {len(self.rows)} bugs of the past directed inputs show {directed}, random 16-bit ones {narrow}, "
            f"random fp32 ones {wide}; first stage and cause are the right ones in {known}."
        )


def detections(run: Run) -> Detections:
    """The rows of a run's directory; a file that cannot be read is told, and nothing else is lost with it."""
    try:
        return Detections(rows=read_detections(run.directory))
    except StoreError as error:
        return Detections(wrong=str(error))
