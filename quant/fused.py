"""fused(): within it, an operand is quantized by fused kernels wherever its rules allow it; the bits are kept.

On CUDA that is one Triton kernel, on the CPU the plain path compiled. What is fused is the engine's own choice of
rules, under which no compiler can move a rounding; an operand whose acting rules differ, or whose groups are not runs
of memory, takes the plain path.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from functools import lru_cache
from math import prod

import torch
from torch import Tensor

from kernels.affine_grid import MAX_GROUP, AffineGrid, AffineRows, Form, Nibbles
from kernels.availability import missing
from quant.codes import storage_dtype
from quant.compiled_rows import compiled_rows, warn_plain
from quant.granularity import Groups, groups_of
from quant.mapping import INTEGER_GRIDS, Extent, Mapping, ZeroPointDomain
from quant.packing import Layout, Packing
from quant.qparams import QParams
from quant.relevance import relevant
from quant.rule_sets import ENGINE
from quant.scheme import ResolvedScheme, TensorScheme

_FUSED: ContextVar[bool] = ContextVar("fused", default=False)
DEVICES = ("cpu", "cuda")
_SCALES = (torch.float32, torch.bfloat16, torch.float16)


@dataclass(frozen=True, slots=True, kw_only=True)
class FusedOperand:
    """What one kernel made of an operand; `inside` is True where the unclamped code lies within [qmin, qmax].

    `packed`: the codes' bytes, where a kernel writes the packing that was asked for.
    """

    qparams: QParams
    codes: Tensor | None
    dequantized: Tensor
    inside: Tensor | None
    packed: Tensor | None = None


@contextmanager
def fused(enabled: bool = True) -> Iterator[None]:
    """Quantize by fused kernels inside the block, or not. Where there are none to be had, a FusedWarning says why."""
    token = _FUSED.set(enabled)
    try:
        yield
    finally:
        _FUSED.reset(token)


def fused_operand(
    x: Tensor, scheme: TensorScheme, *, inside: bool, codes: bool = True, packing: Packing | None = None
) -> FusedOperand | None:
    """x quantized and read back by one kernel, with its codes and the mask of its straight-through gradient if asked.

    A packing takes the scheme and the shape; its bytes are written in the same pass where they are nibbles in order.

    None outside `fused()`, in a traced graph, where `covered` says no, and where the device has no kernel here.
    """
    if torch.compiler.is_compiling() or not _FUSED.get():
        return None
    resolved = scheme.resolved(x.dtype)
    groups = groups_of(resolved.granularity, tuple(x.shape))
    if x.device.type not in DEVICES or not covered(resolved, x.dtype, groups):
        return None
    with torch.no_grad():
        rows = x.detach().reshape(prod(groups.qparam_shape), -1).contiguous()
        nibbles = _nibbles(packing) if x.shape[-1] % 2 == 0 and rows.shape[1] % 2 == 0 else None
        found = _affine_rows(rows, resolved, codes=codes, inside=inside, packed=nibbles)
    if found is None:
        return None
    assert found.values is not None
    qparams = QParams(
        scale=found.scale.reshape(groups.qparam_shape),
        zero_point=None if found.zero_point is None else found.zero_point.reshape(groups.qparam_shape),
        scheme=resolved,
    )
    return FusedOperand(
        qparams=qparams,
        codes=None if found.codes is None else found.codes.reshape(x.shape),
        dequantized=found.values.reshape(x.shape),
        inside=None if found.inside is None else found.inside.reshape(x.shape),
        packed=None if found.packed is None else found.packed.reshape(*x.shape[:-1], -1),
    )


def _nibbles(packing: Packing | None) -> Nibbles | None:
    """The order of a byte's two codes, where the layout is pairs of neighbours."""
    if packing is None or packing.layout is not Layout.NIBBLES:
        return None
    return Nibbles.LOW_FIRST if packing.order == "low_first" else Nibbles.HIGH_FIRST


def _affine_rows(
    rows: Tensor, scheme: ResolvedScheme, *, codes: bool, inside: bool, packed: Nibbles | None
) -> AffineRows | None:
    if not rows.is_cuda:
        return compiled_rows(rows, scheme, codes=codes, inside=inside)
    reason = missing("cuda", "fused", dtype=rows.dtype)
    if reason is not None:
        warn_plain(reason)
        return None
    from kernels.affine_triton import affine_rows  # needs triton

    return affine_rows(rows, _grid(scheme), codes=codes, values=True, inside=inside, packed=packed)


@lru_cache(maxsize=4096)
def covered(scheme: ResolvedScheme, dtype: torch.dtype, groups: Groups) -> bool:
    """Whether the fused kernel computes this scheme: the engine's value in every acting decision, grids of at most 8
    bits, scales of at most 32, and groups that are runs of memory.
    """
    runs = groups.reduced == tuple(range(len(groups.view) - len(groups.reduced), len(groups.view)))
    return (
        runs
        and bool(groups.reduced)
        and prod(groups.view[i] for i in groups.reduced) <= MAX_GROUP
        and scheme.qmin >= -128
        and scheme.qmax <= 255
        and scheme.scale_dtype in _SCALES
        and scheme.global_scale_dtype is None
        and scheme.mapping in INTEGER_GRIDS
        and scheme.extent is Extent.MIN_MAX
        and all(getattr(scheme.rules, name) is getattr(ENGINE, name) for name in relevant(scheme, dtype))
    )


@lru_cache(maxsize=4096)
def _grid(scheme: ResolvedScheme) -> AffineGrid:
    """The scheme as numbers, for a kernel that knows none."""
    symmetric = scheme.mapping is Mapping.SYMMETRIC
    form = {
        Mapping.SYMMETRIC: Form.SYMMETRIC,
        Mapping.SYMMETRIC_NO_CLIPPING: Form.NO_CLIPPING,
        Mapping.ASYMMETRIC: Form.FLOAT if scheme.zero_point_domain is ZeroPointDomain.FLOAT else Form.ASYMMETRIC,
    }[scheme.mapping]
    span = float(scheme.qmax - scheme.qmin)
    return AffineGrid(
        form=form,
        qmin=int(scheme.qmin),
        qmax=int(scheme.qmax),
        divisor=span / 2 if symmetric else span,
        eps=torch.tensor(scheme.eps, dtype=torch.float64).float().item(),
        includes_zero=scheme.preserve_zero,
        scale_dtype=scheme.scale_dtype,
        zero_point_dtype=scheme.zero_point_dtype,
        constant_zero_point=0 if scheme.zero_point_dtype is None else int(scheme.midpoint),
        code_dtype=storage_dtype(int(scheme.qmin), int(scheme.qmax)),
    )
