"""A weight as a module stores it: integer codes and qparams in buffers, with the dtype it had."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn

from quant.codes import Quantized, quantize, storage_dtype
from quant.computed import qparam_dtype_of
from quant.dequantize import dequantize
from quant.fake import Operand
from quant.fused import fused_operand
from quant.granularity import groups_of, whole
from quant.packing import Packing
from quant.qparams import QParams, choose_qparams, reads_unrounded_scale
from quant.scheme import QuantScheme, TensorScheme

BUFFERS = (
    *("weight_codes", "weight_packed", "weight_scale", "weight_zero_point", "weight_global_scale"),
    "weight_unrounded_scale",
)


@dataclass(frozen=True, slots=True)
class StoredWeight:
    """Codes with qparams, the float dtype to which they dequantize, and the bytes that hold the codes, if packed."""

    quantized: Quantized
    dtype: torch.dtype
    packed: Tensor | None = None

    @classmethod
    def of(
        cls, weight: Tensor, scheme: TensorScheme, packing: Packing | None = None, qparams: QParams | None = None
    ) -> StoredWeight:
        """A float weight, quantized by learned qparams, or by its own (None).

        Raises ValueError for a packing that does not take the scheme or the shape.
        """
        _check_packing(packing, scheme, weight.shape, weight.dtype)
        in_one = fused_operand(weight, scheme, inside=False, packing=packing) if qparams is None else None
        if in_one is not None and in_one.codes is not None:
            quantized = Quantized(codes=in_one.codes, qparams=in_one.qparams)
        else:
            quantized = quantize(weight, choose_qparams(weight, scheme) if qparams is None else qparams)
        if in_one is not None and in_one.packed is not None:
            return cls(quantized, weight.dtype, in_one.packed)
        return cls(quantized, weight.dtype, _packed(quantized, packing))

    @classmethod
    def empty(
        cls, shape: tuple[int, ...], dtype: torch.dtype, scheme: TensorScheme, packing: Packing | None = None
    ) -> StoredWeight:
        """Buffers of the right shapes and dtypes, with NaN scales: what is not loaded cannot pass for a weight."""
        resolved = scheme.resolved(dtype)
        qparam_shape = groups_of(resolved.granularity, shape).qparam_shape
        scale = torch.full(qparam_shape, torch.nan, dtype=resolved.scale_dtype)
        zero_point = None
        if resolved.zero_point_dtype is not None:
            zero_point = torch.zeros(qparam_shape, dtype=resolved.zero_point_dtype)
        global_scale = unrounded = None
        if resolved.global_scale_dtype is not None:
            global_shape = groups_of(whole(resolved.granularity), qparam_shape).qparam_shape
            global_scale = torch.full(global_shape, torch.nan, dtype=resolved.global_scale_dtype)
        if reads_unrounded_scale(scheme.rules):
            unrounded = torch.full(qparam_shape, torch.nan, dtype=qparam_dtype_of(resolved, dtype))
        qparams = QParams(
            scale=scale,
            zero_point=zero_point,
            scheme=resolved,
            global_scale=global_scale,
            unrounded_scale=unrounded,
        )
        codes = torch.full(shape, scheme.code_min, dtype=storage_dtype(scheme.code_min, scheme.code_max))
        quantized = Quantized(codes=codes, qparams=qparams)
        _check_packing(packing, scheme, shape, dtype)
        return cls(quantized, dtype, _packed(quantized, packing))

    def register(self, module: nn.Module) -> None:
        """Store everything in the module's buffers."""
        qparams = self.quantized.qparams
        codes = self.quantized.codes if self.packed is None else None  # kept once, packed or not
        qparam_values = (qparams.scale, qparams.zero_point, qparams.global_scale, qparams.unrounded_scale)
        values = (codes, self.packed, *qparam_values)
        for name, value in zip(BUFFERS, values, strict=True):
            if value is not None:
                module.register_buffer(name, value)

    @classmethod
    def read(
        cls, module: nn.Module, scheme: TensorScheme, dtype: torch.dtype, packing: Packing | None = None
    ) -> StoredWeight:
        """What `register` stored, with the scheme that gives it its meaning.

        Raises ValueError when a cast of the whole module has changed a buffer's dtype.
        """
        codes, packed, scale, zero_point, global_scale, unrounded = (module._buffers.get(name) for name in BUFFERS)
        if packing is not None:
            assert packed is not None
            codes = packing.unpack(packed, scheme.code_min, storage_dtype(scheme.code_min, scheme.code_max))
        assert codes is not None
        assert scale is not None
        resolved = scheme.resolved(dtype)
        check_stored_dtype("weight_scale", scale, resolved.scale_dtype)
        check_stored_dtype("weight_zero_point", zero_point, resolved.zero_point_dtype)
        check_stored_dtype("weight_global_scale", global_scale, resolved.global_scale_dtype)
        check_stored_dtype("weight_unrounded_scale", unrounded, qparam_dtype_of(resolved, dtype))
        qparams = QParams(
            scale=scale,
            zero_point=zero_point,
            scheme=resolved,
            global_scale=global_scale,
            unrounded_scale=unrounded,
        )
        return cls(Quantized(codes=codes, qparams=qparams), dtype, packed)

    def operand(self) -> Operand:
        """The weight on its way into a product."""
        return Operand(
            qparams=self.quantized.qparams,
            codes=self.quantized.codes,
            packed=self.packed,
            dequantized=dequantize(self.quantized, self.dtype),
        )


def stored_codes(layer: nn.Module) -> Tensor:
    """The integer codes [.., N, K] of a quantized layer, unpacked if need be."""
    scheme, dtype = cast(QuantScheme, layer.scheme), cast(torch.dtype, layer.dtype)
    return StoredWeight.read(layer, scheme.weight, dtype, scheme.packing).quantized.codes


def check_packing(weight: Tensor, scheme: QuantScheme) -> None:
    """Raise ValueError unless the scheme's packing takes its weight: prepare refuses what convert could not store."""
    _check_packing(scheme.packing, scheme.weight, weight.shape, weight.dtype)


def _check_packing(packing: Packing | None, scheme: TensorScheme, shape: Sequence[int], dtype: torch.dtype) -> None:
    if packing is not None:
        packing.check(scheme.resolved(dtype), tuple(shape), dtype)


def _packed(quantized: Quantized, packing: Packing | None) -> Tensor | None:
    """The bytes of the codes in a layout; None where there is none."""
    return None if packing is None else packing.pack(quantized.codes, quantized.qparams.scheme.code_min)


def check_stored_dtype(name: str, stored: Tensor | None, declared: torch.dtype | None) -> None:
    """Raise ValueError unless a buffer still has the dtype that its scheme stores."""
    if stored is not None and stored.dtype is not declared:
        raise ValueError(
            f"{name} is {stored.dtype} and the scheme stores {declared}: a quantized layer cannot be cast; "
            "cast the float model and quantize it again"
        )
