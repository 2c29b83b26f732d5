"""Two runs may be compared iff their settings are equal: difference(a, b) says in sentences where they are not."""

from collections.abc import Mapping
from dataclasses import dataclass

Fact = str | int | float | bool | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Environment:
    """setting = what must be equal for two runs' bits to be comparable; subject = what the runs are about."""

    setting: Mapping[str, Fact]
    subject: Mapping[str, Fact]


def difference(a: Environment, b: Environment) -> list[str]:
    """A sentence for each fact of the setting in which the two differ, in the order of names; [] = comparable."""
    return _parted(a.setting, b.setting)


def subject_difference(a: Environment, b: Environment) -> list[str]:
    """A sentence for each fact of the subject in which the two differ: usually the reason for comparing them."""
    return _parted(a.subject, b.subject)


def _parted(a: Mapping[str, Fact], b: Mapping[str, Fact]) -> list[str]:
    # 1 == True and 1 == 1.0 in Python, but not as facts, so the texts are compared.
    names = sorted(a.keys() | b.keys())
    told = [(name, _tell(a, name), _tell(b, name)) for name in names]
    return [f"{name} is {in_a} in the first run and {in_b} in the second" for name, in_a, in_b in told if in_a != in_b]


def _tell(facts: Mapping[str, Fact], name: str) -> str:
    return repr(facts[name]) if name in facts else "not recorded"
