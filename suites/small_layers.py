"""Small weights files, for suites that read them."""

from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor

from parity.weights import Source


def ramp(*shape: int, dtype: torch.dtype = torch.float32) -> Tensor:
    """Values of both signs, no two alike, that a bfloat16 has to round."""
    values = torch.arange(torch.Size(shape).numel(), dtype=torch.float64).reshape(shape)
    return ((values * 0.37 - 5) * (1 + values / 1000)).to(dtype)


def written(path: Path, tensors: Mapping[str, Tensor], **metadata: str) -> Source:
    """A source whose weights are these tensors."""
    save_file(dict(tensors), path / "weights.safetensors", metadata=metadata)
    return Source(weights=path / "weights.safetensors")


def small(path: Path) -> Source:
    """One linear layer with a bias, one without, and one embedding; beside them what is no layer."""
    return written(
        path,
        {
            "block.dense.weight": ramp(6, 32),
            "block.dense.bias": ramp(6),
            "block.Out-2.weight": ramp(5, 32, dtype=torch.bfloat16),
            "word_embeddings.weight": ramp(9, 32),
            "LayerNorm.weight": ramp(6),
            "convolution.weight": ramp(2, 2, 2, 2),
            "position_ids": torch.arange(4),
        },
    )
