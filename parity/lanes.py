"""A lane = backend x flow x device x mode x rules; an edge of the matrix joins two of them.

Text: `backend[.rules]:flow[:device[:mode]]`, defaults cpu and eager, left out where they are the default:
`engine:ptq`, `engine.torchao:qat_convert:cuda`, `torchao:qat_prepare`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from enum import StrEnum
from functools import lru_cache
from typing import TYPE_CHECKING

from parity.backends.names import adopt

if TYPE_CHECKING:
    from parity.backends.protocol import Backend

DEVICES = ("cpu", "cuda", "xpu", "mps")
MODES = ("eager", "compiled", "exported", "fused", "triton")
_NAME = re.compile(r"[a-z0-9_]+")


class Flow(StrEnum):
    """Where one path stops and resumes: quantized at once, trained in pretence, or stored after that."""

    PTQ = "ptq"
    QAT_PREPARE = "qat_prepare"
    QAT_CONVERT = "qat_convert"


@dataclass(frozen=True, slots=True, kw_only=True)
class Lane:
    """One way to compute a case. `rules` names a rule set that replaces the backend's own, or is None.

    Raises ValueError for a part that is not a name of the grammar.
    """

    backend: str
    flow: Flow
    device: str = "cpu"
    mode: str = "eager"
    rules: str | None = None

    def __post_init__(self) -> None:
        for part, text in (("backend", self.backend), ("rules", self.rules or "none")):
            if not _NAME.fullmatch(text):
                raise ValueError(f"the lane's {part} is {text!r}; names are made of a-z, 0-9 and _")
        if self.device not in DEVICES:
            raise ValueError(f"the lane's device is {self.device!r}; devices are {', '.join(DEVICES)}")
        if self.mode not in MODES:
            raise ValueError(f"the lane's mode is {self.mode!r}; modes are {', '.join(MODES)}")

    def __str__(self) -> str:
        name = self.backend if self.rules is None else f"{self.backend}.{self.rules}"
        parts = [name, self.flow.value, self.device, self.mode]
        if self.mode == "eager":
            parts.pop()
            if self.device == "cpu":
                parts.pop()
        return ":".join(parts)

    def on(self, device: str) -> Lane:
        """The same lane on another device."""
        return replace(self, device=device)


@lru_cache(maxsize=1024)
def parse_lane(text: str) -> Lane:
    """The lane a text names. Raises ValueError with the grammar for what is no lane."""
    parts = text.split(":")
    if not 2 <= len(parts) <= 4:
        raise ValueError(f"{text!r} is not a lane; write backend[.rules]:flow[:device[:mode]], for example engine:ptq")
    backend, _, rules = parts[0].partition(".")
    if parts[1] not in list(Flow):
        raise ValueError(f"{text!r} names the flow {parts[1]!r}; flows are {', '.join(Flow)}")
    device, mode = (parts[2:] + ["cpu", "eager"][len(parts) - 2 :])[:2]
    return Lane(backend=backend, rules=rules or None, flow=Flow(parts[1]), device=device, mode=mode)


def lane(
    named: Lane | str | Backend,
    *,
    flow: Flow | str | None = None,
    device: str | None = None,
    mode: str | None = None,
    rules: str | None = None,
) -> Lane:
    """A lane, its text, or a backend (its PTQ on cpu, eager), with any part replaced by a keyword.

    A backend is remembered by its name in this process. Raises ValueError for one with an announced backend's name.
    """
    if isinstance(named, Lane):
        found = named
    elif isinstance(named, str):
        found = parse_lane(named) if ":" in named else Lane(backend=named, flow=Flow.PTQ)
    else:
        adopt(named)
        found = Lane(backend=named.name, flow=Flow.PTQ)
    return replace(
        found,
        flow=found.flow if flow is None else Flow(flow),
        device=device or found.device,
        mode=mode or found.mode,
        rules=rules or found.rules,
    )
