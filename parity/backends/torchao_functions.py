"""torchao's affine primitives as three functions: those that a domain and preserve_zero select. Imports torchao."""

from __future__ import annotations

from typing import Any, Final

import torch
from torch import Tensor

from parity.backends.functions import Functions
from parity.backends.protocol import NotExpressible
from parity.backends.torchao_package import quiet_import
from quant import Mapping, ZeroPointDomain
from quant.codes import storage_dtype
from quant.granularity import groups_of
from quant.mapping import Extent
from quant.scheme import ResolvedScheme

with quiet_import():
    from torchao.quantization import quant_primitives as primitives

_MAPPINGS: Final = {
    Mapping.SYMMETRIC: primitives.MappingType.SYMMETRIC,
    Mapping.SYMMETRIC_NO_CLIPPING: primitives.MappingType.SYMMETRIC_NO_CLIPPING_ERR,
    Mapping.ASYMMETRIC: primitives.MappingType.ASYMMETRIC,
}
_QUANTIZE: Final[dict[ZeroPointDomain, Any]] = {
    ZeroPointDomain.INT: primitives.quantize_affine,
    ZeroPointDomain.FLOAT: primitives._quantize_affine_tinygemm,
    ZeroPointDomain.NONE: primitives._quantize_affine_no_zero_point,
}
_DEQUANTIZE: Final[dict[ZeroPointDomain, Any]] = {
    ZeroPointDomain.INT: primitives.dequantize_affine,
    ZeroPointDomain.FLOAT: primitives._dequantize_affine_tinygemm,
    ZeroPointDomain.NONE: primitives._dequantize_affine_no_zero_point,
}


def choose_qparams(x: Tensor, scheme: ResolvedScheme) -> tuple[Tensor, Tensor | None]:
    """choose_qparams_affine and its variants. Raises NotExpressible for a range that torchao does not map."""
    if scheme.mapping not in _MAPPINGS:
        raise NotExpressible(f"torchao has no mapping {scheme.mapping}")
    if scheme.extent is not Extent.MIN_MAX:
        raise NotExpressible(f"torchao maps from a block's least value to its greatest, not over {scheme.extent}")
    if scheme.global_scale_dtype is not None or scheme.scale_dtype is torch.float8_e4m3fn:
        raise NotExpressible("torchao's affine scales have one level, and 16 bits or more")
    choose: Any = primitives.choose_qparams_affine
    if scheme.zero_point_domain is ZeroPointDomain.FLOAT:
        choose = primitives._choose_qparams_affine_tinygemm
    elif not scheme.preserve_zero:
        choose = primitives._choose_qparams_affine_dont_preserve_zero
    scale, zero_point = choose(
        x,
        _MAPPINGS[scheme.mapping],
        _block(x, scheme),
        storage_dtype(*_grid(scheme)),
        *_grid(scheme),
        eps=scheme.eps,
        scale_dtype=scheme.scale_dtype,
        zero_point_dtype=scheme.zero_point_dtype or torch.int32,
    )
    shape = groups_of(scheme.granularity, tuple(x.shape)).qparam_shape
    absent = scheme.zero_point_domain is ZeroPointDomain.NONE
    return scale.reshape(shape), None if absent else zero_point.reshape(shape)


def quantize(x: Tensor, scale: Tensor, zero_point: Tensor | None, scheme: ResolvedScheme) -> Tensor:
    """quantize_affine and its variants."""
    grid = _grid(scheme)
    function = _QUANTIZE[scheme.zero_point_domain]
    codes: Tensor = function(x, _block(x, scheme), scale, zero_point, storage_dtype(*grid), *grid)
    return codes


def dequantize(
    codes: Tensor, scale: Tensor, zero_point: Tensor | None, scheme: ResolvedScheme, dtype: torch.dtype
) -> Tensor:
    """dequantize_affine and its variants."""
    function = _DEQUANTIZE[scheme.zero_point_domain]
    block = _block(codes, scheme)
    values: Tensor = function(codes, block, scale, zero_point, codes.dtype, *_grid(scheme), output_dtype=dtype)
    return values


FUNCTIONS: Final = Functions(choose_qparams=choose_qparams, quantize=quantize, dequantize=dequantize)


def _block(x: Tensor, scheme: ResolvedScheme) -> tuple[int, ...]:
    return scheme.granularity.block_shape(tuple(x.shape))


def _grid(scheme: ResolvedScheme) -> tuple[int, int]:
    return int(scheme.qmin), int(scheme.qmax)
