"""A scheme in torchao's words: the config objects and quantizers of its public flows. Imports torchao."""

from __future__ import annotations

from functools import lru_cache
from typing import Any, Final

import torch

from parity.backends.torchao_gaps import Wanted
from parity.backends.torchao_package import quiet_import
from quant import Mapping, PerGroup, ZeroPointDomain

with quiet_import():
    import torchao.prototype.mx_formats
    import torchao.prototype.qat  # noqa: F401  # QATConfig imports both when first used, and would be heard then
    from torchao.quantization import Int8DynamicActivationIntxWeightConfig, IntxWeightOnlyConfig
    from torchao.quantization import granularity as torchao_granularity
    from torchao.quantization.qat import (
        Int4WeightOnlyEmbeddingQATQuantizer,
        Int8DynActInt4WeightQATQuantizer,
        IntxFakeQuantizeConfig,
        QATConfig,
    )
    from torchao.quantization.quant_primitives import MappingType
    from torchao.quantization.quant_primitives import ZeroPointDomain as TorchaoDomain

_MAPPINGS: Final = {
    Mapping.SYMMETRIC: MappingType.SYMMETRIC,
    Mapping.SYMMETRIC_NO_CLIPPING: MappingType.SYMMETRIC_NO_CLIPPING_ERR,
    Mapping.ASYMMETRIC: MappingType.ASYMMETRIC,
}


def ptq_config(wanted: Wanted) -> Any:
    """IntxWeightOnlyConfig, or Int8DynamicActivationIntxWeightConfig where the activation is quantized."""
    weight = wanted.weight
    return _ptq_config(
        wanted.activation is not None,
        weight.bits,
        _group_size(wanted),
        weight.mapping,
        None if weight.scale_dtype == wanted.dtype else weight.scale_dtype,
    )


def prepare_config(wanted: Wanted) -> Any:
    """QATConfig of the PTQ config where it can be derived from that, of explicit fake quantizers where it cannot.

    QATConfig derives nothing from a config with one bit, an asymmetric weight or an explicit scale dtype, and a PTQ
    config says nothing of eps or of the activation's scale dtype.
    """
    weight, activation = wanted.weight, wanted.activation
    derivable = (
        weight.mapping == Mapping.SYMMETRIC
        and weight.bits > 1
        and (weight.scale_dtype, weight.eps) == (wanted.dtype, wanted.own_eps)
        and (activation is None or (activation.scale_dtype, activation.eps) == (wanted.dtype, wanted.own_eps))
    )
    if derivable:
        return _step(ptq_config(wanted), "prepare")
    return _explicit_prepare(
        weight.bits,
        _group_size(wanted),
        weight.mapping,
        weight.scale_dtype,
        weight.eps,
        None if activation is None else (activation.scale_dtype, activation.eps),
        in_float_domain=weight.zero_point_domain == ZeroPointDomain.FLOAT,
    )


def convert_config(wanted: Wanted) -> Any:
    """QATConfig of the PTQ config, for the step that stores."""
    return _step(ptq_config(wanted), "convert")


def legacy_quantizer(wanted: Wanted) -> Any:
    """Int8DynActInt4WeightQATQuantizer, or Int4WeightOnlyEmbeddingQATQuantizer for an embedding."""
    scale_dtype = wanted.weight.scale_dtype
    if wanted.embedding:
        return Int4WeightOnlyEmbeddingQATQuantizer(group_size=wanted.group_size, scale_precision=scale_dtype)
    return Int8DynActInt4WeightQATQuantizer(
        groupsize=wanted.group_size, precision=wanted.dtype, scales_precision=scale_dtype
    )


def _group_size(wanted: Wanted) -> int | None:
    granularity = wanted.weight.granularity
    return granularity.size if isinstance(granularity, PerGroup) else None


def _granularity(group_size: int | None) -> Any:
    return torchao_granularity.PerAxis(0) if group_size is None else torchao_granularity.PerGroup(group_size)


@lru_cache(maxsize=1024)
def _ptq_config(
    dynamic: bool, bits: int, group_size: int | None, mapping: Mapping, scale_dtype: torch.dtype | None
) -> Any:
    dtype, granularity = getattr(torch, f"int{bits}"), _granularity(group_size)
    if dynamic:
        return Int8DynamicActivationIntxWeightConfig(
            weight_dtype=dtype,
            weight_granularity=granularity,
            weight_mapping_type=_MAPPINGS[mapping],
            weight_scale_dtype=scale_dtype,
        )
    return IntxWeightOnlyConfig(
        weight_dtype=dtype, granularity=granularity, mapping_type=_MAPPINGS[mapping], scale_dtype=scale_dtype
    )


@lru_cache(maxsize=1024)
def _explicit_prepare(
    bits: int,
    group_size: int | None,
    mapping: Mapping,
    scale_dtype: torch.dtype,
    eps: float,
    activation: tuple[torch.dtype, float] | None,
    in_float_domain: bool,
) -> Any:
    activation_config = None
    if activation is not None:
        activation_config = IntxFakeQuantizeConfig(
            torch.int8,
            torchao_granularity.PerToken(),
            MappingType.ASYMMETRIC,
            scale_precision=activation[0],
            zero_point_precision=torch.int8,
            eps=activation[1],
        )
    weight_config = IntxFakeQuantizeConfig(
        getattr(torch, f"uint{bits}" if in_float_domain else f"int{bits}"),
        _granularity(group_size),
        _MAPPINGS[mapping],
        scale_precision=scale_dtype,
        zero_point_precision=scale_dtype if in_float_domain else torch.int8,
        zero_point_domain=TorchaoDomain.FLOAT if in_float_domain else TorchaoDomain.INT,
        eps=eps,
    )
    return QATConfig(activation_config=activation_config, weight_config=weight_config, step="prepare")


def _step(base_config: Any, step: str) -> Any:
    return QATConfig(base_config, step=step)
