"""What this machine can run and what it cannot: each fact beside what would be right, in sentences."""

from __future__ import annotations

import platform
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, requires, version
from itertools import product
from typing import Final

DISTRIBUTION: Final = "quant-parity"
PACKAGES: Final = ("torch", "torchao", "numpy", "pyarrow", "safetensors", "jinja2", "typer", "rich")
RUNS: Final = "runs here"


@dataclass(frozen=True, slots=True, kw_only=True)
class Fact:
    """One thing looked at; problem = the sentence on what is wrong and what would mend it, or ""."""

    topic: str
    name: str
    value: str
    problem: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkup:
    """All facts; sound = none of them is a problem."""

    facts: tuple[Fact, ...]

    @property
    def problems(self) -> tuple[str, ...]:
        return tuple(fact.problem for fact in self.facts if fact.problem)

    @property
    def sound(self) -> bool:
        return not self.problems

    def to_json(self) -> dict[str, object]:
        """Plain values with the same texts."""
        return {"sound": self.sound, "problems": list(self.problems), "facts": [asdict(fact) for fact in self.facts]}


def doctor() -> Checkup:
    """Look at versions, our own packages, devices, arithmetic and backends. Imports torch and every backend."""
    return Checkup(facts=(*_versions(), *_own_packages(), *_devices(), *_arithmetic(), *_backends()))


def _versions() -> Iterator[Fact]:
    from kernels.availability import missing

    yield Fact(topic="versions", name="python", value=platform.python_version())
    for name in PACKAGES:
        try:
            old = missing("cpu") if name == "torch" else None
            yield Fact(topic="versions", name=name, value=version(name), problem=old or "")
        except PackageNotFoundError:
            absent = "" if name == "torchao" else f"{name} is not installed: pip install {name}"
            yield Fact(topic="versions", name=name, value="not installed", problem=absent)
    try:
        requires(DISTRIBUTION)
        yield Fact(topic="versions", name=DISTRIBUTION, value=version(DISTRIBUTION))
    except PackageNotFoundError:
        yield Fact(topic="versions", name=DISTRIBUTION, value="not installed: run from the checkout's folder")


def _own_packages() -> Iterator[Fact]:
    from parity.foreign import HOME, NEIGHBOURS, remedy, where

    for name in NEIGHBOURS:
        found = where(name)
        if found is None:
            problem = f"our package {name!r} is missing from {HOME}: install the project again from its checkout"
            yield Fact(topic="packages", name=name, value="missing", problem=problem)
            continue
        foreign = found != HOME / name
        problem = f"{name!r} comes from {found}, which is somebody else's. {remedy(name, found)}" if foreign else ""
        yield Fact(topic="packages", name=name, value="somebody else's" if foreign else "ours", problem=problem)


def _devices() -> Iterator[Fact]:
    from kernels.availability import LAYOUTS, missing
    from parity.lanes import DEVICES, MODES

    for device in DEVICES:
        yield Fact(topic="devices", name=device, value=missing(device) or _described(device))
    here = [device for device in DEVICES if missing(device) is None]
    for device, mode in product(here, MODES):
        yield Fact(topic="modes", name=f"{device}:{mode}", value=missing(device, mode) or RUNS)
    for layout, device in LAYOUTS.items():
        yield Fact(topic="layouts", name=layout, value=missing(device, layout=layout) or RUNS)


def _described(device: str) -> str:
    import torch

    from kernels.machine import this_machine

    here = this_machine()
    if device == "cuda":
        return f"{torch.cuda.get_device_name()}, capability {here.capability}, {torch.cuda.device_count()} in all"
    return f"{here.cpu} kernels" if device == "cpu" else "available"


def _arithmetic() -> Iterator[Fact]:
    from parity.environment import environment

    setting = environment().setting
    flushes = (
        "float32 arithmetic makes zero of subnormals in this process, so bits will differ: some library has turned "
        "flush-to-zero on (torch.set_flush_denormal(False) turns it off)"
    )
    for name, value in setting.items():
        problem = flushes if name == "flush_to_zero" and value else ""
        yield Fact(topic="setting", name=name, value="-" if value is None else str(value), problem=problem)


def _backends() -> Iterator[Fact]:
    from parity.listing import list_backends

    for name, flows, here in list_backends().rows:
        broken = name == "engine" and here != RUNS
        problem = f"the engine itself does not run here: {here}" if broken else ""
        value = f"{here} ({flows})" if here == RUNS else here
        yield Fact(topic="backends", name=name, value=value, problem=problem)


assert sys.version_info >= (3, 11), "the package metadata lets no older Python in"
