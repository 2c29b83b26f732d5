"""save_quantized(model, path): every tensor of a quantized model and the whole scheme of each layer, as safetensors."""

from __future__ import annotations

from pathlib import Path

from torch import nn

from quant.safetensors_file import laid_out, write_file
from quant.saved_model import METADATA_KEY, VERSION, SavedLayer, SavedModel, quantized_layers


def save_quantized(model: nn.Module, path: str | Path) -> None:
    """Write codes, qparams, biases and the rest of the state dict; load_quantized(model, path) gives the same bits.

    The weight's scheme, the activation's and the product's are written with every decision of their rules. Tensors that
    are shared are written once. Raises ValueError for a path that does not end in .safetensors, a model without
    quantized layers, and a layer that is prepared only.
    """
    layers = quantized_layers(model)
    schemes = tuple(dict.fromkeys(layer.scheme for layer in layers.values()))
    described = {name: SavedLayer.of(layer, schemes.index(layer.scheme)) for name, layer in layers.items()}
    tensors = laid_out(model.state_dict())
    saved = SavedModel(version=VERSION, schemes=schemes, layers=described, shared=tensors.shared, order=tensors.order)
    write_file(Path(path), tensors.written, {METADATA_KEY: saved.text()})
