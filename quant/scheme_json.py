"""Schemes as JSON and back: every field by its name, every decision by its value, nothing left to a default's name.

A field that a text does not name was added after it was written, and has its default, which means what was so before.
A field, a kind or a value that is not known here is refused.
"""

from __future__ import annotations

import json
from dataclasses import MISSING, Field, fields, is_dataclass
from enum import StrEnum
from functools import lru_cache
from types import NoneType, UnionType
from typing import Any, NoReturn, TypeVar, Union, get_args, get_origin, get_type_hints

import torch

KIND = "is"  # the key that names a dataclass where a field may hold one of several
Json = Any
T = TypeVar("T")


def encode(value: object) -> Json:
    """Dataclasses as objects, dtypes as "torch.float32", enumerations as their text; numbers as JSON writes them."""
    if is_dataclass(value) and not isinstance(value, type):
        return {KIND: type(value).__name__} | {f.name: encode(getattr(value, f.name)) for f in fields(value)}
    if isinstance(value, StrEnum | torch.dtype):
        return str(value)
    if isinstance(value, tuple):
        return [encode(item) for item in value]
    if isinstance(value, dict):
        return {key: encode(item) for key, item in value.items()}
    if value is None or type(value) in (bool, int, float, str):
        return value
    raise ValueError(f"{value!r} is a {type(value).__name__}, which has no form in JSON")


def written(description: object) -> str:
    """What a file says of itself, as text. Raises ValueError for a number that JSON has not."""
    return json.dumps(encode(description), allow_nan=False)


def parse(text: str, kind: type[T], version: int) -> T:
    """The description that `written` wrote. Raises ValueError for another version, and for what is not known here."""
    try:
        told = json.loads(text, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"its description is no JSON: {error}") from error
    found = told.get("version") if isinstance(told, dict) else None
    if found != version or type(found) is not int:
        raise ValueError(f"its version is {found!r}, and only version {version} is known here")
    return decode(told, kind, "the description")


def decode(text: Json, kind: type[T], at: str) -> T:
    """The value of `kind` that encode wrote; `at` names it in sentences.

    Raises ValueError where something is missing, not known, of another type, or without a meaning together.
    """
    value: T = _decode(text, kind, at)
    return value


def difference(a: Json, b: Json, at: str = "") -> tuple[str, Json, Json] | None:
    """(field, value in a, value in b) of the first field in which two encoded values differ, or None."""
    if isinstance(a, dict) and isinstance(b, dict):
        for key in dict.fromkeys((*a, *b)):
            found = difference(a.get(key), b.get(key), f"{at}.{key}" if at else key)
            if found is not None:
                return found
        return None
    return None if a == b and type(a) is type(b) else (at, a, b)


def _decode(text: Json, hint: Any, at: str) -> Any:
    members = get_args(hint) if get_origin(hint) in (Union, UnionType) else (hint,)
    for member in members:
        container = get_origin(member)
        if container is dict and isinstance(text, dict):
            return {key: _decode(item, get_args(member)[1], f"{at}.{key}") for key, item in text.items()}
        if container is tuple and isinstance(text, list):
            return tuple(_decode(item, get_args(member)[0], f"{at}[{i}]") for i, item in enumerate(text))
    if isinstance(text, dict):
        return _decode_dataclass(text, [member for member in members if is_dataclass(member)], at)
    if isinstance(text, str):
        return _decode_text(text, members, at)
    if type(text) in members or (type(text) is int and float in members) or (text is None and NoneType in members):
        return text
    raise ValueError(f"{at} is {text!r}; it must be {_listed(members)}")


def _decode_text(text: str, members: tuple[Any, ...], at: str) -> Any:
    if torch.dtype in members and text.startswith("torch."):
        dtype = getattr(torch, text.removeprefix("torch."), None)
        if isinstance(dtype, torch.dtype):
            return dtype
    for member in members:
        if isinstance(member, type) and issubclass(member, StrEnum):
            if text in list(member):
                return member(text)
            raise ValueError(f"{at} is {text!r}, which is not known here; its values are {', '.join(member)}")
    if str in members:
        return text
    raise ValueError(f"{at} is {text!r}; it must be {_listed(members)}")


def _decode_dataclass(text: dict[str, Json], kinds: list[Any], at: str) -> Any:
    named = text.get(KIND)
    kind = next((kind for kind in kinds if kind.__name__ == named), None)
    if kind is None:
        raise ValueError(f"{at} is a {named!r}, which is not known here; it must be {_listed(tuple(kinds))}")
    hints, known = _hints(kind), {f.name: f for f in fields(kind)}
    unknown = [name for name in text if name not in known and name != KIND]
    if unknown:
        raise ValueError(
            f"{at} has the field {unknown[0]!r}, which is not known here: it was written by a newer version"
        )
    missing = [name for name, field in known.items() if name not in text and _required(field)]
    if missing:
        raise ValueError(f"{at} does not say {missing[0]!r}; a {kind.__name__} needs it")
    values = {name: _decode(text[name], hints[name], f"{at}.{name}") for name in known if name in text}
    try:
        return kind(**values)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{at} has no meaning: {error}") from error


def _refuse_constant(text: str) -> NoReturn:
    raise ValueError(f"{text} is no number")


def _required(field: Field[Any]) -> bool:
    return field.default is MISSING and field.default_factory is MISSING


def _listed(members: tuple[Any, ...]) -> str:
    return " or ".join(getattr(member, "__name__", str(member)) for member in members) or "nothing of that kind"


@lru_cache(maxsize=64)
def _hints(kind: type) -> dict[str, Any]:
    return get_type_hints(kind)
