"""What a QuantizedTensor is beside the plain tensors that hold its numbers, and what of it an export keeps."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from quant.decisions import Accumulate
from quant.granularity import Granularity
from quant.propagation import Propagation
from quant.quantized_tensor.contract import Contract
from quant.quantized_tensor.decisions import ExportedScheme, ExportedZeroPoint
from quant.scheme import QuantScheme, ResolvedScheme


@dataclass(frozen=True, slots=True, kw_only=True)
class Described:
    """`scheme` as declared, `granularity` that of the codes, `dtype` the one that they dequantize to."""

    scheme: QuantScheme
    granularity: Granularity
    dtype: torch.dtype
    contract: Contract

    @property
    def resolved(self) -> ResolvedScheme:
        """The scheme of the qparams."""
        return replace(self.scheme.weight, granularity=self.granularity).resolved(self.dtype)


def exported(parts: Mapping[str, Tensor], described: Described) -> tuple[Mapping[str, Tensor], Described]:
    """A tensor's parts and description on their way out of the program: all of both, but what its contract forgets."""
    contract = described.contract
    if contract.exported_scheme is ExportedScheme.DEFAULTS:
        described = replace(described, scheme=_defaults(described.scheme))
    if contract.exported_zero_point is ExportedZeroPoint.DROPPED and "zero_point" in parts:
        parts = {**parts, "zero_point": torch.zeros_like(parts["zero_point"])}
    return parts, described


def _defaults(scheme: QuantScheme) -> QuantScheme:
    product = scheme.product
    if product.accumulate is Accumulate.FLOAT16_SEQUENTIAL:
        product = replace(product, accumulate=Accumulate.FLOAT32_SEQUENTIAL)
    return replace(scheme, product=product, propagation=Propagation.INHIBIT)
