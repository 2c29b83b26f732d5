"""load_quantized(model, path): a float model becomes the quantized one that was saved, or is left as it was."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import chain
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from quant.embedding import QuantizedEmbedding
from quant.linear import QuantizedLinear
from quant.safetensors_file import check_order, check_shared, opened, read_tensor
from quant.saved_model import METADATA_KEY, LayerKind, QuantizedLayer, SavedLayer, SavedModel
from quant.scheme import QuantScheme
from quant.scheme_json import difference, encode
from quant.swap import swap_modules

KINDS: Mapping[LayerKind, tuple[type[nn.Module], ...]] = {
    LayerKind.LINEAR: (nn.Linear, QuantizedLinear),
    LayerKind.EMBEDDING: (nn.Embedding, QuantizedEmbedding),
}


def load_quantized(model: nn.Module, path: str | Path, scheme: QuantScheme | None = None) -> nn.Module:
    """Replace the layers that the file names by quantized ones with its tensors, load the others, return the model.

    `model` is the float model that was quantized, whatever its values, or an already quantized one of the same schemes;
    `scheme`, if given, is the one that every layer must have been saved with. Nothing is unpickled. Raises ValueError,
    before anything is changed, for a file that is not safetensors or was not written by save_quantized, another
    version, unknown rules, another scheme, a layer that does not fit the model, and for tensors that are missing, that
    nothing needs, or that have another dtype or shape.
    """
    with opened(Path(path)) as file:
        return _loaded(model, file, scheme)


def _loaded(model: nn.Module, file: Any, scheme: QuantScheme | None) -> nn.Module:
    """`file` is a handle of safetensors, which has no types."""
    text = (file.metadata() or {}).get(METADATA_KEY)
    if text is None:
        raise ValueError(f"it has no description under {METADATA_KEY!r}, so save_quantized did not write it")
    saved = SavedModel.parse(text)
    made: dict[nn.Module, QuantizedLayer] = {}
    for name, layer in saved.layers.items():
        own = saved.schemes[layer.scheme]
        module = _fitting(model, name, layer, own, scheme)  # whose shape is the model's, so that it can be allocated
        made[module] = layer.made(own)
    expected = _expected(model, made)
    _check_tensors(expected, saved, file)
    tensors = {name: read_tensor(file, name, saved.order.get(name)) for name in file.keys()}  # noqa: SIM118 - a handle, not a dict
    tensors |= {name: tensors[same] for name, same in saved.shared.items()}
    _fill(model, made, tensors)
    model, _ = swap_modules(model, made.get)
    layers = {*made.values()}
    inside = tuple(_under(name, "") for name, module in model.named_modules(remove_duplicate=False) if module in layers)
    with torch.no_grad():
        for name, value in model.state_dict().items():
            if not name.startswith(inside):
                value.copy_(tensors[name])
    return model


def _fill(model: nn.Module, made: Mapping[nn.Module, QuantizedLayer], tensors: Mapping[str, Tensor]) -> None:
    """Give the new layers their tensors: as they lie in memory, shared as they were, on the old layers' devices."""
    moved: dict[tuple[int, torch.device], Tensor] = {}
    for name, module in model.named_modules():
        if module not in made:
            continue
        device = next(chain(module.parameters(), module.buffers())).device
        own = {part: tensors[_under(name, part)] for part in made[module].state_dict()}
        there = {part: moved.setdefault((id(value), device), value.to(device)) for part, value in own.items()}
        made[module].load_state_dict(there, assign=True)


def _fitting(
    model: nn.Module, name: str, layer: SavedLayer, scheme: QuantScheme, wanted: QuantScheme | None
) -> nn.Module:
    """The module that the layer takes the place of."""
    called = name or "the model"
    try:
        module = model.get_submodule(name)
    except AttributeError as error:
        raise ValueError(f"the model has no {called}, which the file quantizes") from error
    for other, whose in ((wanted, "the scheme given"), (getattr(module, "scheme", None), "the model's")):
        if isinstance(other, QuantScheme) and other != scheme:
            field, there, here = difference(encode(scheme), encode(other)) or ("", None, None)
            raise ValueError(f"{called} has another scheme: {field} is {there!r} in the file and {here!r} in {whose}")
    if type(module) not in KINDS[layer.kind]:
        raise ValueError(f"{called} is a {type(module).__name__} in the model and quantizes a {layer.kind} in the file")
    present = SavedLayer.of(module, layer.scheme)
    found = difference(encode(layer), encode(present))
    if found is not None:
        field, there, here = found
        raise ValueError(f"{called} does not fit: its {field} is {there!r} in the file and {here!r} in the model")
    return module


def _expected(model: nn.Module, made: Mapping[nn.Module, QuantizedLayer]) -> dict[str, Tensor]:
    """The state dict that the model will have; a layer with several names stands under each of them."""
    new = {name: made[module] for name, module in model.named_modules(remove_duplicate=False) if module in made}
    replaced = tuple(_under(name, "") for name in new)
    expected = {name: value for name, value in model.state_dict().items() if not name.startswith(replaced)}
    for name, layer in new.items():
        expected |= {_under(name, inner): value for inner, value in layer.state_dict().items()}
    return expected


def _under(name: str, inner: str) -> str:
    """The name of a module's own tensor in its model's state dict."""
    return f"{name}.{inner}" if name else inner


def _check_tensors(expected: Mapping[str, Tensor], saved: SavedModel, file: Any) -> None:
    there = {*file.keys()}
    check_shared(saved.shared, there)
    there |= {*saved.shared}
    for names, sentence in (
        (expected.keys() - there, "does not hold {}, which the model needs"),
        (there - expected.keys(), "holds {}, which the model has no place for"),
    ):
        if names:
            shown = ", ".join(sorted(names)[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
            raise ValueError(f"it {sentence.format(shown)}")
    for name, value in expected.items():
        part = file.get_slice(saved.shared.get(name, name))
        order = saved.order.get(saved.shared.get(name, name), tuple(range(value.dim())))
        check_order(name, order, value.dim())
        shape = tuple(value.shape[i] for i in order)
        dtype = _dtype(part.get_dtype())
        if dtype != value.dtype or tuple(part.get_shape()) != shape:
            raise ValueError(
                f"{name} is {dtype} {list(part.get_shape())} in the file, but the model has {value.dtype} {list(shape)}"
            )


_DTYPES = {
    **{"F64": torch.float64, "F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16, "BOOL": torch.bool},
    "F8_E4M3": torch.float8_e4m3fn,
}


def _dtype(name: str) -> torch.dtype | str:
    """The dtype that safetensors writes as F32, BF16, I8, U8; its own name where this version has none."""
    if name in _DTYPES:
        return _DTYPES[name]
    kind, width = {"I": "int", "U": "uint"}.get(name[:1], ""), name[1:]
    found = getattr(torch, kind + width, None)
    return found if isinstance(found, torch.dtype) else name
