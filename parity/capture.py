"""capture(model, batch, file): NAME.weight, NAME.bias and NAME.input of every Linear and Embedding, as safetensors."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Final

import torch
from safetensors.torch import save
from torch import Tensor, nn

from parity.weights import ROWS, Kind
from parity.whole_file import write_whole
from quant.eval_mode import evaluating

ROOT: Final = "root"  # the name of a model that is itself such a layer


@dataclass(frozen=True, slots=True, kw_only=True)
class Captured:
    """The file that was written, its layers by name, and a sentence for each that is not as its name alone tells."""

    file: Path
    layers: tuple[str, ...]
    sentences: tuple[str, ...]


def capture(model: nn.Module, batch: object, file: str | Path, *, rows: int = ROWS) -> Captured:
    """Run the model once in eval mode without gradients, and write what its Linear and Embedding layers hold and met.

    `batch` is a mapping (model(**batch)), a tuple or list (model(*batch)), or the model's one argument.
    NAME.input: the input of a layer's first call as rows, floats [T, columns] or indices [T], of which the first `rows`
    are kept. A layer that was not called has none. Weights that are tied are written under each of their names; a layer
    reached under several names has the first. The metadata holds NAME.kind, linear or embedding, and NAME.calls.
    The model's modes are put back and the hooks taken off, whatever happens. Raises ValueError for rows < 1, a model
    without such layers, and a file that does not end in .safetensors; StoreError where it cannot be written.
    """
    path = Path(file)
    if path.suffix != ".safetensors":
        raise ValueError(f"capture writes safetensors, but {path} does not end in .safetensors")
    if rows < 1:
        raise ValueError(f"capture keeps at least one row of an input, but rows is {rows}")
    layers = {
        name or ROOT: module for name, module in model.named_modules() if isinstance(module, nn.Linear | nn.Embedding)
    }
    if not layers:
        raise ValueError(f"capture found no nn.Linear or nn.Embedding in the {type(model).__name__}; nothing was run")
    meetings = {name: _Meeting(rows) for name in layers}
    with ExitStack() as stack:
        stack.enter_context(evaluating(model))
        for name, module in layers.items():
            hook = module.register_forward_pre_hook(partial(_meet, meetings[name]), with_kwargs=True)
            stack.callback(hook.remove)
        stack.enter_context(torch.no_grad())
        _call(model, batch)
    tensors: dict[str, Tensor] = {}
    metadata: dict[str, str] = {}
    for name, module in layers.items():
        held = {"weight": module.weight, "bias": getattr(module, "bias", None), "input": meetings[name].input}
        tensors |= {f"{name}.{role}": _own(value) for role, value in held.items() if value is not None}
        kind = Kind.EMBEDDING if isinstance(module, nn.Embedding) else Kind.LINEAR
        metadata |= {f"{name}.kind": kind.value, f"{name}.calls": str(meetings[name].calls)}
    write_whole(path, save(tensors, metadata))
    return Captured(file=path, layers=tuple(layers), sentences=tuple(_sentences(layers, meetings)))


@dataclass(slots=True)
class _Meeting:
    """What a layer has met so far."""

    rows: int
    calls: int = 0
    input: Tensor | None = field(default=None)


def _meet(meeting: _Meeting, module: nn.Module, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None:
    """A forward pre-hook: keep the first call's input before anything can change it in place."""
    meeting.calls += 1
    x = args[0] if args else kwargs.get("input")
    if meeting.calls == 1 and isinstance(x, Tensor):
        flat = x.reshape(-1) if isinstance(module, nn.Embedding) else x.reshape(-1, x.shape[-1])
        meeting.input = _own(flat[: meeting.rows])


def _own(x: Tensor) -> Tensor:
    """A contiguous copy on the cpu that shares memory with nothing: safetensors writes no views."""
    return x.detach().to("cpu", copy=True).contiguous()


def _call(model: nn.Module, batch: object) -> None:
    if isinstance(batch, Mapping):
        model(**batch)
    elif isinstance(batch, tuple | list):
        model(*batch)
    else:
        model(batch)


def _sentences(layers: Mapping[str, nn.Linear | nn.Embedding], meetings: Mapping[str, _Meeting]) -> Iterator[str]:
    first: dict[int, str] = {}
    for name, module in layers.items():
        other = first.setdefault(id(module.weight), name)
        if other != name:
            yield f"{name} has the weight of {other}; it is written under both names."
        calls = meetings[name].calls
        if calls == 0:
            yield f"{name} was not called; it is written without an input."
        elif calls > 1:
            yield f"{name} was called {calls} times; its first input is written."
