"""save_tensors(named, path) and load_tensors(path): a state dict with quantized tensors in it, as safetensors."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from quant.codes import quantize
from quant.qparams import choose_qparams
from quant.quantized_tensor.described import Described
from quant.quantized_tensor.tensor import PARTS, QuantizedTensor, parts_of
from quant.safetensors_file import check_shared, laid_out, opened, read_tensor, write_file
from quant.scheme_json import parse, written

VERSION = 1
METADATA_KEY = "quant_tensors"


@dataclass(frozen=True, slots=True, kw_only=True)
class SavedTensors:
    """What the file says of itself: the quantized tensors by name, and how plain tensors lie (quant.safetensors_file).

    The parts of the tensor `w` stand in the file as `w.codes`, `w.scale` and so on.
    """

    version: int
    quantized: dict[str, Described]
    shared: dict[str, str]
    order: dict[str, tuple[int, ...]]


def save_tensors(named: Mapping[str, Tensor], path: str | Path) -> None:
    """Write plain and quantized tensors; load_tensors(path) gives the same bits, schemes, contracts and strides.

    Raises ValueError for a path that does not end in .safetensors, and for two tensors that need one name.
    """
    plain: dict[str, Tensor] = {}
    quantized: dict[str, Described] = {}
    for name, tensor in named.items():
        parts = {name: tensor}
        if isinstance(tensor, QuantizedTensor):
            out = tensor.exported()
            quantized[name] = out.described
            parts = {f"{name}.{part}": value for part, value in parts_of(out.quantized).items()}
        taken = next((part for part in parts if part in plain), None)
        if taken is not None:
            raise ValueError(f"{taken} is the name of a tensor and of a part of a quantized one; rename either")
        plain |= parts
    tensors = laid_out(plain)
    saved = SavedTensors(version=VERSION, quantized=quantized, shared=tensors.shared, order=tensors.order)
    write_file(Path(path), tensors.written, {METADATA_KEY: written(saved)})


def load_tensors(path: str | Path) -> dict[str, Tensor]:
    """What save_tensors wrote, on the cpu; no byte is unpickled.

    Raises ValueError for a file that is not safetensors or that save_tensors did not write, another version, what is
    not known here, and parts that are missing, spare, or not of the dtype and shape that the scheme says.
    """
    with opened(Path(path)) as file:
        text = (file.metadata() or {}).get(METADATA_KEY)
        if text is None:
            raise ValueError(f"it has no description under {METADATA_KEY!r}, so save_tensors did not write it")
        saved = parse(text, SavedTensors, VERSION)
        there = {*file.keys()}
        check_shared(saved.shared, there)
        found = {name: read_tensor(file, name, saved.order.get(name)) for name in there}
        found |= {name: found[same] for name, same in saved.shared.items()}
        return dict(_whole(found, saved.quantized))


def _whole(found: dict[str, Tensor], quantized: Mapping[str, Described]) -> Iterator[tuple[str, Tensor]]:
    """Every tensor by its name, the quantized ones put together of their parts."""
    for name, described in quantized.items():
        parts = {part: found.pop(f"{name}.{part}") for part in PARTS if f"{name}.{part}" in found}
        _check_parts(name, parts, described)
        yield name, QuantizedTensor.of_parts(parts, described)
    yield from found.items()


def _check_parts(name: str, parts: Mapping[str, Tensor], described: Described) -> None:
    """Raise ValueError unless these are the parts of such a tensor: those that zeros in its place have."""
    if "codes" not in parts:
        raise ValueError(f"it does not hold {name}.codes, which {name} consists of")
    zeros = torch.zeros((), dtype=described.dtype).expand(parts["codes"].shape)
    like = parts_of(quantize(zeros, choose_qparams(zeros, described.resolved)))
    for part in dict.fromkeys((*like, *parts)):
        here, there = (_form(of.get(part)) for of in (parts, like))
        if here != there:
            raise ValueError(f"{name}.{part} is {here} in the file, and the scheme of {name} has {there}")


def _form(part: Tensor | None) -> str:
    return "nothing" if part is None else f"{part.dtype} {list(part.shape)}"
