"""A stretched weight as lookup-table kernels take it: w = (s/2) * table[code], the table odd integers."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from quant.codes import Quantized
from quant.computed import rescale_dtype_of
from quant.device import cast, op
from quant.granularity import groups_of
from quant.mapping import Mapping
from quant.quotient import scale_in_use
from quant.scheme import ResolvedScheme


@dataclass(frozen=True, slots=True, kw_only=True)
class LookupTable:
    """half_scale: s/2 of each group, in S. table: 2q + 1 for each code q from the least up. codes: q - code_min."""

    half_scale: Tensor
    table: Tensor
    codes: Tensor
    scheme: ResolvedScheme

    def values(self, dtype: torch.dtype) -> Tensor:
        """(s/2) * (2q + 1) in `dtype`: the bits of dequantize, (q + 1/2) * s, since both factors are exact.

        Where s/2 is no subnormal of S: there half a scale may be no value of its dtype.
        """
        scheme, rules = self.scheme, self.scheme.rules
        groups, wide = groups_of(scheme.granularity, tuple(self.codes.shape)), rescale_dtype_of(scheme, dtype)
        odd = self.table[self.codes.long()].to(wide)
        product = groups.split(odd) * cast(groups.spread(self.half_scale), wide, rules)
        return groups.join(cast(op(product, rules), dtype, rules))


def lookup_table(quantized: Quantized) -> LookupTable:
    """The table form of stored codes on a stretched grid of at most 8 bits; ValueError for any other."""
    qparams, scheme = quantized.qparams, quantized.qparams.scheme
    if scheme.mapping is not Mapping.STRETCHED or scheme.bits > 8:
        raise ValueError(
            f"mapping is {scheme.mapping} with bits {scheme.bits}; only a stretched grid of at most 8 bits has one "
            "table for all groups"
        )
    groups = groups_of(scheme.granularity, tuple(quantized.codes.shape))
    scale = scale_in_use(qparams, scheme.rules.dequantize_scale, groups).reshape(groups.qparam_shape)
    odd = 2 * torch.arange(scheme.code_min, scheme.code_max + 1, device=scale.device) + 1
    return LookupTable(
        half_scale=op(scale * 0.5, scheme.rules),
        table=odd.to(torch.int8 if scheme.bits < 8 else torch.int16),
        codes=(quantized.codes.to(torch.int16) - scheme.code_min).to(torch.uint8),
        scheme=scheme,
    )
