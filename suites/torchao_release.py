"""Digests of what an installed torchao release does with aimed layers: how suites/golden/torchao_releases.json is made.

    python -m pip install --no-deps --target RELEASE torchao==0.10.0
    PYTHONPATH=RELEASE python -m suites.torchao_release     # adds the release to the file

A product's operands are seen where torch.nn.functional.linear receives them; the product itself is not recorded, for
libraries sum it in their own order. An embedding's output is a lookup, and is.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import product
from pathlib import Path
from typing import Any, Final
from unittest import mock

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from parity.digest import digest
from quant import presets
from suites.aimed_layers import INDICES, layer_for, tokens_for

GOLDEN: Final = Path(__file__).parent / "golden" / "torchao_releases.json"
DTYPES: Final = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
GROUP: Final = 32


def aimed(op: str, dtype: str, scale: str) -> tuple[nn.Module, Tensor]:
    """The layer and the input of a row: 8da4w for a linear layer, its int4 weights for an embedding."""
    scheme = presets.int8_dynamic_intx_weight(bits=4, group_size=GROUP, scale_dtype=DTYPES[scale], rules="torchao")
    layer = layer_for(scheme, DTYPES[dtype], embedding=op == "embedding")
    return layer, INDICES if op == "embedding" else tokens_for(scheme, DTYPES[dtype])


def main() -> None:
    import torchao

    recorded = json.loads(GOLDEN.read_text()) if GOLDEN.exists() else {}
    rows = {}
    for flow, op, dtype, scale in product(
        ("ptq", "qat_prepare", "qat_convert"), ("linear", "embedding"), DTYPES, DTYPES
    ):
        layer, x = aimed(op, dtype, scale)
        stages = _ptq(layer, x, dtype, scale) if flow == "ptq" else _qat(flow, layer, x, dtype, scale)
        if stages:
            rows[f"{flow} {op} {dtype} {scale}"] = {name: digest(value) for name, value in stages.items()}
    recorded[torchao.__version__] = rows
    GOLDEN.parent.mkdir(exist_ok=True)
    GOLDEN.write_text(json.dumps(recorded, indent=1, sort_keys=True) + "\n")
    print(f"{torchao.__version__}: {len(rows)} rows in {GOLDEN}")


def _qat(flow: str, layer: nn.Module, x: Tensor, dtype: str, scale: str) -> dict[str, Tensor]:
    """The legacy quantizers' prepare, and convert after it."""
    from torchao.quantization import qat

    if isinstance(layer, nn.Embedding):
        quantizer: Any = qat.Int4WeightOnlyEmbeddingQATQuantizer(group_size=GROUP, scale_precision=DTYPES[scale])
    else:
        quantizer = qat.Int8DynActInt4WeightQATQuantizer(
            groupsize=GROUP, precision=DTYPES[dtype], scales_precision=DTYPES[scale]
        )
    model = quantizer.prepare(nn.Sequential(layer))
    if flow == "qat_prepare":
        stages = _seen(model[0], x)
        return {**stages, "weight.scale": model[0].weight_fake_quantizer.scale}
    with torch.no_grad():
        module = quantizer.convert(model)[0]
    if not hasattr(module, "scales"):  # 0.10 kept an embedding's qparams under names that nothing reads (#2024)
        return {**_seen(module, x), "weight.scale": module.scale, "weight.codes": module.weight}
    if isinstance(layer, nn.Embedding):
        module.scale, module.zero_point = module.scales, module.zeros
    return {**_seen(module, x), "weight.scale": module.scales, "weight.codes": module.weight}


def _ptq(layer: nn.Module, x: Tensor, dtype: str, scale: str) -> dict[str, Tensor]:
    """The PTQ config of the release, where it has one for these dtypes."""
    from torchao.quantization import granularity
    from torchao.quantization import quant_api as quantization

    embedding = isinstance(layer, nn.Embedding)
    if hasattr(quantization, "IntxWeightOnlyConfig"):
        of_weight = granularity.PerGroup(GROUP)
        if embedding:
            config: Any = quantization.IntxWeightOnlyConfig(
                weight_dtype=torch.int4, granularity=of_weight, scale_dtype=DTYPES[scale]
            )
        else:
            config = quantization.Int8DynamicActivationIntxWeightConfig(
                weight_dtype=torch.int4, weight_granularity=of_weight, weight_scale_dtype=DTYPES[scale]
            )
    elif embedding or dtype != scale:
        return {}
    else:
        config = quantization.Int8DynamicActivationInt4WeightConfig(group_size=GROUP, set_inductor_config=False)
    model = nn.Sequential(layer)
    quantization.quantize_(model, config, filter_fn=lambda module, name: module is layer)
    return _seen(model[0], x)


def _seen(module: nn.Module, x: Tensor) -> dict[str, Tensor]:
    """A linear layer's operands as the product receives them, or an embedding's output."""
    with torch.no_grad(), _operands() as operands:
        output = module(x)
    if not operands:
        return {"output": output}
    return {"input.dequantized": operands[-1][0], "weight.dequantized": operands[-1][1]}


@contextmanager
def _operands() -> Iterator[list[tuple[Tensor, Tensor]]]:
    """Every call of linear on two plain tensors while the block runs."""
    linear, seen = F.linear, list[tuple[Tensor, Tensor]]()

    def watched(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
        if all(type(operand) in (Tensor, nn.Parameter) for operand in (x, weight)):
            seen.append((x, weight))
        return linear(x, weight, bias)

    with mock.patch.object(F, "linear", watched):
        yield seen


if __name__ == "__main__":
    main()
