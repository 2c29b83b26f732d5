"""torchao.prototype.parq beside quant.parq: the same maps and quantizers of both, and numbers drawn for them."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from parity.backends.torchao_package import quiet_import, unusable
from parity.counter import normal_like, words
from quant.parq import BinaryRelax, HardQuantization, PiecewiseAffine, ProximalMap, Schedule

needs_torchao = pytest.mark.skipif(unusable() is not None, reason=unusable() or "")
SCHEDULE = Schedule(start=2, end=9)
MAPS: dict[str, ProximalMap] = {
    "hard": HardQuantization(),
    "parq": PiecewiseAffine(schedule=SCHEDULE),
    "relax": BinaryRelax(schedule=SCHEDULE),
}


def torchaos_maps() -> dict[str, Any]:
    with quiet_import():
        from torchao.prototype.parq.optim import ProxBinaryRelax, ProxHardQuant, ProxPARQ
    return {"hard": ProxHardQuant(), "parq": ProxPARQ(2, 9), "relax": ProxBinaryRelax(2, 9)}


def torchaos_quantizers() -> dict[str, Any]:
    with quiet_import():
        from torchao.prototype.parq.quant.uniform import MaxUnifQuantizer, TernaryUnifQuantizer, UnifQuantizer
        from torchao.prototype.parq.quant.uniform_torchao import StretchedUnifTorchaoQuantizer, UnifTorchaoQuantizer
    return {
        "unif": UnifQuantizer(),
        "max_unif": MaxUnifQuantizer(),
        "ternary": TernaryUnifQuantizer(),
        "stretched": StretchedUnifTorchaoQuantizer,
        "torchao": UnifTorchaoQuantizer,
    }


def drawn(seed: int, like: Tensor) -> Tensor:
    """Near-normal values of the shape and dtype of `like`."""
    return normal_like(words(seed, 4 * like.numel()), like.dtype).reshape(like.shape)


def weights(dtype: torch.dtype) -> nn.Parameter:
    return nn.Parameter(drawn(1, torch.empty(16, 64, dtype=dtype)))
