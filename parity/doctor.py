"""What this machine can run and what it cannot: each fact beside what would be right, in sentences."""

from __future__ import annotations

import platform
import re
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, requires, version
from typing import Final

DISTRIBUTION: Final = "quant-parity"
PACKAGES: Final = ("torch", "torchao", "numpy", "pyarrow", "safetensors", "jinja2", "typer", "rich")
LEAST: Final = {"python": "3.11", "torch": "2.11"}


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
    yield _held("python", platform.python_version())
    for name in PACKAGES:
        try:
            yield _held(name, version(name))
        except PackageNotFoundError:
            missing = "" if name == "torchao" else f"{name} is not installed: pip install {name}"
            yield Fact(topic="versions", name=name, value="not installed", problem=missing)
    try:
        requires(DISTRIBUTION)
        yield Fact(topic="versions", name=DISTRIBUTION, value=version(DISTRIBUTION))
    except PackageNotFoundError:
        yield Fact(topic="versions", name=DISTRIBUTION, value="not installed: run from the checkout's folder")


def _held(name: str, found: str) -> Fact:
    """A version beside the least one that is supported."""
    least = LEAST.get(name)
    old = least is not None and _numbers(found) < _numbers(least)
    problem = f"{name} is {found}; {least} or newer is needed" if old else ""
    return Fact(topic="versions", name=name, value=found, problem=problem)


def _numbers(text: str) -> tuple[int, ...]:
    """(2, 13, 0) of "2.13.0+cpu"."""
    return tuple(int(part) for part in re.findall(r"\d+", text.partition("+")[0])[:3])


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
    from parity.backends.engine import missing_device
    from parity.lanes import DEVICES

    for device in DEVICES:
        missing = missing_device(device)
        yield Fact(topic="devices", name=device, value=missing or _described(device))


def _described(device: str) -> str:
    import torch

    if device == "cuda":
        major, minor = torch.cuda.get_device_capability()
        return f"{torch.cuda.get_device_name()}, capability {major}.{minor}, {torch.cuda.device_count()} in all"
    return f"{torch.backends.cpu.get_cpu_capability()} kernels" if device == "cpu" else "available"


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
        broken = name == "engine" and here != "runs here"
        problem = f"the engine itself does not run here: {here}" if broken else ""
        value = f"{here} ({flows})" if here == "runs here" else here
        yield Fact(topic="backends", name=name, value=value, problem=problem)


assert sys.version_info >= (3, 11), "the package metadata lets no older Python in"
