"""Packing: which bytes hold a weight's codes. A fact about memory that chooses no domain, dtype or rule.

A nibble holds code - qmin, 0 to 15; a field of a u32 word holds the code itself, in two's complement. Which layout
takes which scheme is a table, taken from what the kernels that read it accept; a pair that the table does not allow
raises.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from quant.granularity import Granularity, PerGroup, Stacked
from quant.layouts import cpu_int4, cuda_tiled, nibbles, u32, xpu_int4
from quant.mapping import ZeroPointDomain

if TYPE_CHECKING:
    from quant.scheme import ResolvedScheme


class Layout(StrEnum):
    """The families of byte orders."""

    NIBBLES = "nibbles"
    CPU_INT4 = "cpu_int4"
    CUDA_TILED = "cuda_tiled"
    XPU_INT4 = "xpu_int4"
    U32 = "u32"


@dataclass(frozen=True, slots=True)
class Packing:
    """A layout and which of its orders: made by one of the five constructors below.

    Raises ValueError for an order that the layout does not have.
    """

    layout: Layout
    order: str = ""

    def __post_init__(self) -> None:
        if self.order not in ORDERS[self.layout]:
            legal = ", ".join(map(repr, ORDERS[self.layout]))
            raise ValueError(f"{self.layout} has no order {self.order!r}; its orders are {legal}")

    @classmethod
    def nibbles(cls, order: str = "low_first") -> Packing:
        """uint8 [N, K/2], the even column in the low nibble (low_first) or in the high one (high_first)."""
        return cls(Layout.NIBBLES, order)

    @classmethod
    def cpu_int4(cls, order: str) -> Packing:
        """What ATen's CPU product reads under avx512, avx2 or scalar code: not portable between machines."""
        return cls(Layout.CPU_INT4, order)

    @classmethod
    def cuda_tiled(cls, inner_k_tiles: int = 8) -> Packing:
        """What ATen's tensor-core product reads, with 2, 4 or 8 inner k tiles."""
        return cls(Layout.CUDA_TILED, str(inner_k_tiles))

    @classmethod
    def xpu_int4(cls) -> Packing:
        """What XPU's int4 product reads."""
        return cls(Layout.XPU_INT4)

    @classmethod
    def u32(cls, bits: int) -> Packing:
        """int32 [N, K * bits / 32], signed codes of 2, 4 or 8 bits, the first in the lowest: as Burn stores them."""
        return cls(Layout.U32, str(bits))

    def check(self, scheme: ResolvedScheme, shape: tuple[int, ...], dtype: torch.dtype) -> None:
        """Raise ValueError unless the layout takes a weight [..., N, K] of `dtype` under this scheme."""
        if self.layout is not Layout.U32 and (scheme.bits != 4 or scheme.code_max - scheme.code_min != 15):
            raise ValueError(
                f"the grid runs from {scheme.qmin} to {scheme.qmax} in {scheme.bits} bits; {self.layout} packs 4-bit "
                "codes, sixteen of them"
            )
        for requirement in REQUIREMENTS[self.layout]:
            if not requirement.holds(self, scheme, shape, dtype):
                found = requirement.found.format(scheme=scheme, n=shape[-2], k=shape[-1], dtype=dtype, packing=self)
                raise ValueError(f"{found}; {self.layout} takes {requirement.legal}")

    def pack(self, codes: Tensor, code_min: int) -> Tensor:
        """The bytes (or words) of integer codes [..., N, K] whose grid begins at `code_min`."""
        if self.layout is Layout.U32:
            return u32.pack(codes, int(self.order))
        raised = (codes.to(torch.int16) - code_min).to(torch.uint8)
        if self.layout is Layout.NIBBLES:
            return nibbles.pack(raised, low_first=self.order == "low_first")
        if self.layout is Layout.CPU_INT4:
            return cpu_int4.pack(raised, self.order)
        return cuda_tiled.pack(raised, int(self.order)) if self.layout is Layout.CUDA_TILED else xpu_int4.pack(raised)

    def unpack(self, packed: Tensor, code_min: int, dtype: torch.dtype) -> Tensor:
        """The codes [..., N, K] in their storage dtype, the inverse of `pack`."""
        if self.layout is Layout.U32:
            bits = int(self.order)
            return u32.unpack(packed, bits, packed.shape[-1] * 32 // bits).to(dtype)
        if self.layout is Layout.NIBBLES:
            raised = nibbles.unpack(packed, low_first=self.order == "low_first")
        elif self.layout is Layout.CPU_INT4:
            raised = cpu_int4.unpack(packed, self.order)
        else:
            raised = cuda_tiled.unpack(packed) if self.layout is Layout.CUDA_TILED else xpu_int4.unpack(packed)
        return (raised.to(torch.int16) + code_min).to(dtype)

    def __str__(self) -> str:
        return f"{self.layout}({self.order})" if self.order else str(self.layout)


ORDERS = {
    Layout.NIBBLES: ("low_first", "high_first"),
    Layout.CPU_INT4: ("avx512", "avx2", "scalar"),
    Layout.CUDA_TILED: ("2", "4", "8"),
    Layout.XPU_INT4: ("",),
    Layout.U32: ("2", "4", "8"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Requirement:
    """What a layout demands: a condition, what was found where it fails, and what would be legal."""

    holds: Callable[[Packing, ResolvedScheme, tuple[int, ...], torch.dtype], bool]
    found: str
    legal: str


def _group(granularity: Granularity) -> int:
    inner = granularity.inner if isinstance(granularity, Stacked) else granularity
    return inner.size if isinstance(inner, PerGroup) else 0


def _in_float_domain(scheme: ResolvedScheme) -> bool:
    return scheme.zero_point_domain is ZeroPointDomain.FLOAT


_EVEN = Requirement(
    holds=lambda packing, scheme, shape, dtype: shape[-1] % 2 == 0,
    found="the weight has {k} columns",
    legal="an even number of them",
)
_GROUPS = Requirement(
    holds=lambda packing, scheme, shape, dtype: _group(scheme.granularity) in (32, 64, 128, 256),
    found="the weight's granularity is {scheme.granularity}",
    legal="groups of 32, 64, 128 or 256",
)
_VALUE = Requirement(
    holds=lambda packing, scheme, shape, dtype: scheme.zero_point_domain is ZeroPointDomain.FLOAT,
    found="zero_point_domain is {scheme.zero_point_domain}",
    legal="the float domain",
)
_RAW_RANGE = Requirement(
    holds=lambda packing, scheme, shape, dtype: not (_in_float_domain(scheme) and scheme.preserve_zero),
    found="preserve_zero is True",
    legal="a float zero point without preserve_zero",
)
_ONE_DTYPE = Requirement(
    holds=lambda packing, scheme, shape, dtype: (
        scheme.scale_dtype is dtype
        and scheme.global_scale_dtype is None
        and (scheme.zero_point_dtype is dtype or not _in_float_domain(scheme))
    ),
    found="the weight is {dtype}, its scale {scheme.scale_dtype} and its zero point {scheme.zero_point_dtype}",
    legal="scale and float zero point in the weight's dtype, the scale on one level",
)

# Read off the kernels: aten's checks for CPU and CUDA, torchao's tensors for XPU.
REQUIREMENTS: dict[Layout, tuple[Requirement, ...]] = {
    Layout.NIBBLES: (_EVEN,),
    Layout.CPU_INT4: (
        _VALUE,
        _RAW_RANGE,
        _ONE_DTYPE,
        _GROUPS,
        Requirement(
            holds=lambda packing, scheme, shape, dtype: shape[-2] % 16 == 0 and shape[-1] % 2 == 0,
            found="the weight is {n} x {k}",
            legal="a multiple of 16 rows and an even number of columns",
        ),
    ),
    Layout.CUDA_TILED: (
        _VALUE,
        _RAW_RANGE,
        _ONE_DTYPE,
        Requirement(
            holds=lambda packing, scheme, shape, dtype: dtype is torch.bfloat16,
            found="the weight is {dtype}",
            legal="bfloat16",
        ),
        _GROUPS,
        Requirement(
            holds=lambda packing, scheme, shape, dtype: (
                shape[-2] % 8 == 0 and shape[-1] % (16 * int(packing.order)) == 0
            ),
            found="the weight is {n} x {k} and inner_k_tiles {packing.order}",
            legal="a multiple of 8 rows and of 16 * inner_k_tiles columns",
        ),
    ),
    Layout.XPU_INT4: (
        Requirement(
            holds=lambda packing, scheme, shape, dtype: dtype in (torch.float16, torch.bfloat16),
            found="the weight is {dtype}",
            legal="float16 or bfloat16",
        ),
        Requirement(
            holds=lambda packing, scheme, shape, dtype: scheme.zero_point_domain is not ZeroPointDomain.NONE,
            found="zero_point_domain is none",
            legal="a zero point",
        ),
        _ONE_DTYPE,
        _RAW_RANGE,
        Requirement(
            holds=lambda packing, scheme, shape, dtype: (
                _in_float_domain(scheme) or scheme.zero_point_dtype in (torch.int8, None)
            ),
            found="the zero point is {scheme.zero_point_dtype}",
            legal="an int8 zero point",
        ),
        Requirement(
            holds=lambda packing, scheme, shape, dtype: _in_float_domain(scheme) or scheme.preserve_zero,
            found="preserve_zero is False",
            legal="an integer zero point with preserve_zero",
        ),
        Requirement(
            holds=lambda packing, scheme, shape, dtype: _group(scheme.granularity) > 0 and shape[-1] % 8 == 0,
            found="the weight's granularity is {scheme.granularity} over {k} columns",
            legal="groups, and a multiple of 8 columns",
        ),
    ),
    Layout.U32: (
        Requirement(
            holds=lambda packing, scheme, shape, dtype: str(scheme.bits) == packing.order and scheme.code_min < 0,
            found="the grid runs from {scheme.qmin} to {scheme.qmax} in {scheme.bits} bits and fields have "
            "{packing.order}",
            legal="signed codes of as many bits as its fields",
        ),
        Requirement(
            holds=lambda packing, scheme, shape, dtype: shape[-1] * int(packing.order) % 32 == 0,
            found="the weight has {k} columns",
            legal="rows that fill whole words",
        ),
    ),
}
