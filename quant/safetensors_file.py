"""Named tensors in a safetensors file: shared ones once, each as it lies in memory, and one text beside them."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

Order = tuple[int, ...]


@dataclass(frozen=True, slots=True, eq=False)
class LaidOut:
    """What of named tensors is written, and how the rest follows from it.

    shared: a tensor that is not written -> the one it is the same as. order: a tensor written with its dimensions
    permuted -> the permutation, so that the strides of a transposed one survive (native products depend on them).
    """

    written: dict[str, Tensor]
    shared: dict[str, str]
    order: dict[str, Order]


def laid_out(named: Mapping[str, Tensor]) -> LaidOut:
    """Every tensor once, on the cpu."""
    found = LaidOut({}, {}, {})
    first: dict[tuple[object, ...], str] = {}
    for name, value in named.items():
        same = first.setdefault(_place(value), name)
        if same != name:
            found.shared[name] = same
            continue
        dimensions = _order(value)
        if dimensions != tuple(range(value.dim())):
            found.order[name] = dimensions
        found.written[name] = value.permute(dimensions).to("cpu", copy=True).contiguous()
    return found


def write_file(path: Path, tensors: dict[str, Tensor], metadata: dict[str, str]) -> None:
    """Written beside `path` and renamed, so that no reader finds a part of it. Raises ValueError for another suffix."""
    if path.suffix != ".safetensors":
        raise ValueError(f"what is saved is safetensors, but {path} does not end in .safetensors")
    unfinished = path.with_name(f".unfinished-{path.name}")
    try:
        save_file(tensors, unfinished, metadata)
        os.replace(unfinished, path)
    finally:
        unfinished.unlink(missing_ok=True)


@contextmanager
def opened(path: Path) -> Iterator[Any]:
    """The file as a handle of safetensors, which has no types; nothing is unpickled. Every refusal names the path."""
    try:
        with safe_open(path, framework="pt") as file:
            yield file
    except (SafetensorError, OSError) as error:
        raise ValueError(f"{path} is not read: {error}; only safetensors are, for a pickle can run code") from error
    except ValueError as error:
        raise ValueError(f"{path} is not loaded: {error}") from error


def read_tensor(file: Any, name: str, order: Order | None) -> Tensor:
    """One tensor, its dimensions in the order that they had. Raises ValueError where that is no order of them."""
    value: Tensor = file.get_tensor(name)
    if order is None:
        return value
    check_order(name, order, value.dim())
    back = sorted(range(len(order)), key=lambda i: order[i])
    return value.permute(back)


def check_order(name: str, order: Order, dimensions: int) -> None:
    """Raise ValueError unless `order` is one of so many dimensions."""
    if sorted(order) != list(range(dimensions)):
        raise ValueError(f"{name} is said to lie in the order {order}, but it has {dimensions} dimensions")


def check_shared(shared: Mapping[str, str], there: set[str]) -> None:
    """Raise ValueError unless each shared name is that of a written tensor, and of none itself."""
    dangling = next((name for name, same in shared.items() if same not in there or name in there), None)
    if dangling is not None:
        raise ValueError(f"{dangling} is the same as {shared[dangling]}, which the file does not hold")


def _place(value: Tensor) -> tuple[object, ...]:
    """What two names of the very same tensor have in common."""
    if not value.numel():
        return (object(),)
    return value.device, value.data_ptr(), value.dtype, value.shape, value.stride()


def _order(value: Tensor) -> Order:
    """The dimensions by falling stride where that makes the tensor contiguous, else as they are."""
    dimensions = tuple(sorted(range(value.dim()), key=value.stride().__getitem__, reverse=True))
    is_dense = not value.is_contiguous() and value.permute(dimensions).is_contiguous()
    return dimensions if is_dense else tuple(range(value.dim()))
