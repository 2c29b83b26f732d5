"""save_quantized(model, path): every tensor of a quantized model and the whole scheme of each layer, as safetensors."""

from __future__ import annotations

import os
from pathlib import Path

from safetensors.torch import save_file
from torch import Tensor, nn

from quant.saved_model import METADATA_KEY, VERSION, SavedLayer, SavedModel, quantized_layers


def save_quantized(model: nn.Module, path: str | Path) -> None:
    """Write codes, qparams, biases and the rest of the state dict; load_quantized(model, path) gives the same bits.

    The weight's scheme, the activation's and the product's are written with every decision of their rules. Tensors that
    are shared are written once. The file is written beside `path` and renamed, so that no reader finds a part of it.
    Raises ValueError for a path that does not end in .safetensors, a model without quantized layers, and a layer that
    is prepared only.
    """
    path = Path(path)
    if path.suffix != ".safetensors":
        raise ValueError(f"save_quantized writes safetensors, but {path} does not end in .safetensors")
    layers = quantized_layers(model)
    schemes = tuple(dict.fromkeys(layer.scheme for layer in layers.values()))
    tensors: dict[str, Tensor] = {}
    shared: dict[str, str] = {}
    order: dict[str, tuple[int, ...]] = {}
    first: dict[tuple[object, ...], str] = {}
    for name, value in model.state_dict().items():
        same = first.setdefault(_place(value), name)
        if same != name:
            shared[name] = same
            continue
        dimensions = _order(value)
        if dimensions != tuple(range(value.dim())):
            order[name] = dimensions
        tensors[name] = value.permute(dimensions).to("cpu", copy=True).contiguous()
    described = {name: SavedLayer.of(layer, schemes.index(layer.scheme)) for name, layer in layers.items()}
    saved = SavedModel(version=VERSION, schemes=schemes, layers=described, shared=shared, order=order)
    unfinished = path.with_name(f".unfinished-{path.name}")
    try:
        save_file(tensors, unfinished, {METADATA_KEY: saved.text()})
        os.replace(unfinished, path)
    finally:
        unfinished.unlink(missing_ok=True)


def _place(value: Tensor) -> tuple[object, ...]:
    """What two names of the very same tensor have in common."""
    if not value.numel():
        return (object(),)
    return value.device, value.data_ptr(), value.dtype, value.shape, value.stride()


def _order(value: Tensor) -> tuple[int, ...]:
    """The dimensions by falling stride where that makes the tensor contiguous, else as they are."""
    dimensions = tuple(sorted(range(value.dim()), key=value.stride().__getitem__, reverse=True))
    is_dense = not value.is_contiguous() and value.permute(dimensions).is_contiguous()
    return dimensions if is_dense else tuple(range(value.dim()))
