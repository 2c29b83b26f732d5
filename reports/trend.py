"""trend(nights) = the life of every signature: born, died, and whether it moved from an earlier or to a later stage."""

from collections.abc import Sequence
from dataclasses import dataclass

from parity.record import STAGES
from parity.signature import RAISE, Signature
from reports.night import Night


@dataclass(frozen=True, slots=True, kw_only=True)
class Life:
    """One signature over the nights. pairs = a count a night; born = the first night that has it, died = the first one
    after the last that has it, None while it lives; moved = the stage of the signature it took the place of, or "".
    """

    text: str
    parts: Signature
    pairs: tuple[int, ...]
    born: int
    died: int | None
    moved: str

    @property
    def alive(self) -> bool:
        return self.died is None


def trend(nights: Sequence[Night]) -> tuple[Life, ...]:
    """Every signature of any night: those of the last night first, the youngest first among them."""
    texts = sorted({text for night in nights for text in night.signatures})
    found = [_life(text, nights) for text in texts]
    moved = [_with_move(life, found) for life in found]
    return tuple(sorted(moved, key=lambda life: (not life.alive, -(life.died or life.born), -life.born, life.text)))


def _life(text: str, nights: Sequence[Night]) -> Life:
    pairs = tuple(night.signatures.get(text, (0, 0))[0] for night in nights)
    here = [i for i, n in enumerate(pairs) if n]
    died = here[-1] + 1 if here[-1] + 1 < len(nights) else None
    return Life(text=text, parts=Signature.parse(text), pairs=pairs, born=here[0], died=died, moved="")


def _with_move(life: Life, every: Sequence[Life]) -> Life:
    """A signature born on the night on which another of its edge and cause died has moved from there."""
    before = [
        other
        for other in every
        if life.born
        and other.died == life.born
        and (other.parts.edge, other.parts.cause) == (life.parts.edge, life.parts.cause)
        and other.parts.first_stage != life.parts.first_stage
    ]
    if not before:
        return life
    nearest = min(before, key=lambda other: abs(_place(other.parts) - _place(life.parts)))
    return Life(
        text=life.text,
        parts=life.parts,
        pairs=life.pairs,
        born=life.born,
        died=life.died,
        moved=nearest.parts.first_stage,
    )


def _place(parts: Signature) -> int:
    return -1 if parts.first_stage == RAISE else STAGES.index(parts.first_stage)
