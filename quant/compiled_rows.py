"""Rows quantized on the CPU by machine code, compiled once for a scheme, a dtype and a length of groups.

What is compiled is the plain path itself, in two graphs: one chooses the qparams of every row, the other applies them.
In a single graph the qparams of a row would be computed again for every vector of its elements.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass, replace
from functools import lru_cache

import torch
from torch import Tensor

from kernels.affine_grid import AffineRows
from kernels.compiled import Function, NotCompiledError, compiled
from quant.gradient import straight_through_mask
from quant.granularity import PerToken
from quant.qparams import QParams, choose_qparams
from quant.scheme import ResolvedScheme


class FusedWarning(RuntimeWarning):
    """An operand within quant.fused() takes the plain path, which gives the same bits, for want of a fused one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Form:
    """What a graph is compiled for; `scheme` has a scale for each row."""

    scheme: ResolvedScheme
    dtype: torch.dtype
    group: int


def compiled_rows(rows: Tensor, scheme: ResolvedScheme, *, codes: bool, inside: bool) -> AffineRows | None:
    """Quantize each row of contiguous `rows` [n, group] by its own range; what is not asked for is not stored.

    None for a single row, and where there is no machine code, of which one FusedWarning gives the reason.
    """
    n, group = rows.shape
    if n < 2:
        return None
    graphs = _graphs(_form(scheme, rows.dtype, group), codes, inside)
    if isinstance(graphs, str):
        warn_plain(graphs)
        return None
    choose, apply = graphs
    qparams = choose(rows)
    found = dict(zip(_names(codes, inside), apply(rows, *qparams), strict=True))
    return AffineRows(
        scale=qparams[0],
        zero_point=qparams[1] if len(qparams) == 2 else None,
        codes=found.get("codes"),
        values=found["values"],
        inside=found.get("inside"),
    )


def warn_plain(reason: str) -> None:
    """Say that an operand is left to the plain path; Python shows one such warning for each reason."""
    warnings.warn(f"quant.fused() leaves an operand to the plain path: {reason}", FusedWarning, stacklevel=2)


@lru_cache(maxsize=1024)
def _form(scheme: ResolvedScheme, dtype: torch.dtype, group: int) -> _Form:
    return _Form(scheme=replace(scheme, granularity=PerToken()), dtype=dtype, group=group)


@lru_cache(maxsize=1024)
def _graphs(form: _Form, codes: bool, inside: bool) -> tuple[Function, Function] | str:
    """The two graphs of a form, or why there are none."""
    try:
        return _choice(form), _application(form, codes, inside)
    except NotCompiledError as error:
        return str(error)


@lru_cache(maxsize=1024)
def _choice(form: _Form) -> Function:
    def choose(rows: Tensor) -> tuple[Tensor, ...]:
        return _stored(choose_qparams(rows, form.scheme))

    return compiled(choose, (_specimen(form),))


def _application(form: _Form, codes: bool, inside: bool) -> Function:
    from quant.fake import pretended  # which imports this module, by way of quant.fused

    def apply(rows: Tensor, scale: Tensor, zero_point: Tensor | None = None) -> tuple[Tensor, ...]:
        qparams = QParams(scale=scale, zero_point=zero_point, scheme=form.scheme)
        unclamped, operand = pretended(rows, qparams)
        found = {"values": operand.dequantized, "codes": operand.codes}
        if inside:
            mask = straight_through_mask(rows, unclamped, qparams)
            assert mask is not None  # covered rules have one
            found["inside"] = mask
        return tuple(found[name] for name in _names(codes, inside))

    specimen = _specimen(form)
    return compiled(apply, (specimen, *_stored(choose_qparams(specimen, form.scheme))))


def _names(codes: bool, inside: bool) -> tuple[str, ...]:
    return ("values", *(("codes",) if codes else ()), *(("inside",) if inside else ()))


def _stored(qparams: QParams) -> tuple[Tensor, ...]:
    return (qparams.scale,) if qparams.zero_point is None else (qparams.scale, qparams.zero_point)


def _specimen(form: _Form) -> Tensor:
    """Rows on which code is held against the plain path: every magnitude of the dtype, its ends, ties, zeros, NaN.

    A row of halves within a range of qmax - qmin has the scale 1, and all its quotients are ties.
    """
    span, limits = int(form.scheme.qmax - form.scheme.qmin), torch.finfo(form.dtype)
    place = torch.arange(64 * form.group, dtype=torch.int64).reshape(64, form.group)
    spread = (place * 2654435761 % 2**24 - 2**23).double() * 2.0**-23  # within [-1, 1), without order
    magnitudes = torch.logspace(-149, 127, 64, base=2, dtype=torch.float64).unsqueeze(-1)
    halves = (place[0] % (2 * span + 1)).double() * 0.5 - 0.5 * span
    special = torch.stack([halves, halves * 2.0**-20, torch.zeros_like(halves), -torch.zeros_like(halves)])
    rows = torch.cat([spread * magnitudes, special, halves.expand(4, -1)]).clamp(-limits.max, limits.max)
    rows[-3:, 0] = torch.tensor([torch.inf, -torch.inf, torch.nan])
    rows[-4, :2] = torch.tensor([limits.max, -limits.max])
    return rows.to(form.dtype)
