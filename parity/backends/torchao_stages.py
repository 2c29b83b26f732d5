"""The stages of a torchao layer, read from what its modules and tensors store and return. Imports torchao.

Where torchao keeps an intermediate it is read: stored codes and qparams, the qparams a fake quantizer holds after a
forward pass, dequantized tensors and outputs as they were returned. Two things it never keeps are made again by the
functions that made them, called as its own forward calls them: the qparams and codes of a dynamically quantized
activation, and the float codes inside a fake quantizer, which are made from the scale and zero point it holds.
Qparams are viewed as one entry a block with no dimension dropped: [*tokens, 1] and [rows, groups].
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from parity.backends.torchao_gaps import LEGACY_EPS, Wanted
from parity.backends.torchao_package import quiet_import
from parity.trace import Stage, Trace

with quiet_import():
    from torchao.quantization import IntxUnpackedToInt8Tensor
    from torchao.quantization.qat.fake_quantizer import IntxFakeQuantizer
    from torchao.quantization.quant_primitives import (
        MappingType,
        ZeroPointDomain,
        _quantize_affine_no_dtype_cast,
        _quantize_affine_tinygemm_no_dtype_cast,
        choose_qparams_affine,
        dequantize_affine,
        quantize_affine,
    )
    from torchao.quantization.quantize_.workflows.intx.intx_unpacked_to_int8_tensor import (
        _apply_int8_act_asym_per_token_quant_dequant,
    )
    from torchao.quantization.utils import per_token_dynamic_quant


@dataclass(frozen=True, slots=True, kw_only=True)
class _Operand:
    """One side of a layer as torchao has it; codes are int8, or floats inside a fake quantizer."""

    scale: Tensor
    zero_point: Tensor
    codes: Tensor
    dequantized: Tensor

    def stages(self, side: str) -> list[Stage]:
        """The four stages: qparams are computed in x's dtype D, codes in P(D, S, Z), what is read back in P(D, S)."""
        dtype, product = self.dequantized.dtype, torch.promote_types(self.dequantized.dtype, self.scale.dtype)
        shape = (*self.codes.shape[:-1], -1)
        return [
            Stage(name=f"{side}.scale", tensor=self.scale.reshape(shape), computed=dtype),
            Stage(name=f"{side}.zero_point", tensor=self.zero_point.reshape(shape), computed=dtype),
            Stage(
                name=f"{side}.codes",
                tensor=self.codes,
                computed=torch.promote_types(product, self.zero_point.dtype),
            ),
            Stage(name=f"{side}.dequantized", tensor=self.dequantized, computed=product),
        ]


def stored_trace(module: nn.Module, x: Tensor, wanted: Wanted) -> Trace:
    """A layer that PTQ or the convert step made: its weight is an IntxUnpackedToInt8Tensor."""
    weight: Any = module.weight
    if not isinstance(weight, IntxUnpackedToInt8Tensor):
        raise TypeError(f"torchao left the weight a {type(weight).__name__}, so it quantized nothing")
    operand = _Operand(
        scale=weight.scale, zero_point=weight.zero_point, codes=weight.qdata, dequantized=weight.dequantize()
    )
    activation = None
    if weight.activation_quantization is not None:
        activation = _per_token(x, None, torch.int8, None, _apply_int8_act_asym_per_token_quant_dequant(x))
    return _trace(activation, operand, module(x))


def prepared_trace(module: nn.Module, x: Tensor, wanted: Wanted) -> Trace:
    """A layer with fake quantizers, from the config or from a legacy quantizer."""
    output = module(x)
    fake: Any = module.weight_fake_quantizer
    floats: Any = module.weight
    weight = _faked(fake, floats, (1, wanted.group_size), wanted.weight.code_min, wanted.weight.code_max)
    activation_fake: Any = getattr(module, "activation_fake_quantizer", None)
    activation = None
    if activation_fake is not None:
        activation = _faked(activation_fake, x, _token_block(x), -128, 127)
    return _trace(activation, weight, output)


def drawn_trace(module: nn.Module, x: Tensor, latent: Tensor, quantizer: Any, wanted: Wanted) -> Trace:
    """A layer whose weight PARQ's optimizer drew to the grid: scale and codes by its quantizer, from the latent one."""
    rows, block = latent.view(-1, wanted.group_size), (1, wanted.group_size)
    bounds = {"quant_min": quantizer.quant_min, "quant_max": quantizer.quant_max}
    scale, zero_point = quantizer._choose_qparams(
        rows, quantizer.mapping_type, block, torch.int8, eps=quantizer.eps, **bounds
    )
    codes = quantizer._quantize(rows, block, scale, zero_point, torch.int8, **bounds)
    drawn: Any = module.weight
    weight = _Operand(
        scale=scale, zero_point=zero_point, codes=codes.reshape(latent.shape), dequantized=drawn.detach().clone()
    )
    return _trace(None, weight, module(x))


def legacy_trace(module: nn.Module, x: Tensor, wanted: Wanted) -> Trace:
    """A layer that a legacy quantizer converted: int8 codes and qparams in buffers."""
    codes: Any = module.weight
    linear = not wanted.embedding
    scale: Any = module.scales if linear else module.scale
    zero_point: Any = module.zeros if linear else module.zero_point
    block = (1, wanted.group_size)
    dequantized = dequantize_affine(codes, block, scale, zero_point, torch.int8, -8, 7, output_dtype=wanted.dtype)
    weight = _Operand(scale=scale, zero_point=zero_point, codes=codes, dequantized=dequantized)
    activation = None
    if linear:
        fp32 = torch.float32
        read_back = per_token_dynamic_quant(x, scale_dtype=fp32, zero_point_dtype=fp32, eps=LEGACY_EPS)
        activation = _per_token(x, fp32, fp32, LEGACY_EPS, read_back)
    return _trace(activation, weight, module(x))


def _per_token(
    x: Tensor, scale_dtype: torch.dtype | None, zero_point_dtype: torch.dtype, eps: float | None, dequantized: Tensor
) -> _Operand:
    """Qparams and codes of an activation, by the calls with which torchao made `dequantized`."""
    block = _token_block(x)
    scale, zero_point = choose_qparams_affine(
        x, MappingType.ASYMMETRIC, block, torch.int8, -128, 127, eps, scale_dtype, zero_point_dtype
    )
    codes = quantize_affine(x, block, scale, zero_point, torch.int8, -128, 127)
    return _Operand(scale=scale, zero_point=zero_point, codes=codes, dequantized=dequantized)


def _faked(fake: IntxFakeQuantizer, x: Tensor, block: tuple[int, ...], qmin: int, qmax: int) -> _Operand:
    dequantized = fake(x)
    floats = fake.config.zero_point_domain is ZeroPointDomain.FLOAT
    to_codes = _quantize_affine_tinygemm_no_dtype_cast if floats else _quantize_affine_no_dtype_cast
    codes = to_codes(x, block, fake.scale, fake.zero_point, qmin, qmax)
    return _Operand(scale=fake.scale, zero_point=fake.zero_point, codes=codes, dequantized=dequantized)


def _token_block(x: Tensor) -> tuple[int, ...]:
    return (1,) * (x.dim() - 1) + (x.shape[-1],)


def _trace(activation: _Operand | None, weight: _Operand, output: Tensor) -> Trace:
    """The stages in their order; torch's linear and embedding compute in the dtype they return."""
    stages = [] if activation is None else activation.stages("input")
    return Trace([*stages, *weight.stages("weight"), Stage(name="output", tensor=output, computed=output.dtype)])
