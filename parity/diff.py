"""An element differs iff its canonical bits do; in codes and zero points, iff the integer it stands for does.

Lanes store codes as they please: int8, int32, or float codes in a fake quantizer, where -0.0 is the code 0. So in the
stages *.codes and *.zero_point, when every element on both sides is an integer or NaN, integers are compared: the
distance is in steps of one code, NaN equals NaN, and a different dtype is recorded but is no difference. Anywhere else
a different dtype is one in every element: a scale of 1.0 kept in float64 is not the scale 1.0 kept in bfloat16.
The dtype that a stage was computed in is no part of a difference: only what it returned is.
"""

from collections.abc import Sequence
from math import isfinite, log10, prod

import torch
from torch import Tensor

from kernels.bit_difference import BINS, BitDifference, Place, bit_difference, differences
from kernels.bit_line import INCOMPARABLE, gap
from parity.bits import (
    DEFAULT,
    BitPolicy,
    bits,
    bits_line,
    dtype_name,
    float_format,
    is_nan,
    line,
    same_storage,
    storage,
)
from parity.record import ABSENT, STAGES, ByStage, Element, StageDiff
from parity.trace import Trace

HISTOGRAM_BINS = BINS


def diff_traces(a: Trace, b: Trace, policy: BitPolicy = DEFAULT) -> ByStage[StageDiff]:
    """One StageDiff for each stage that either trace holds, in the order of STAGES; see diff_stage."""
    sides = [{stage.name: stage.tensor for stage in trace} for trace in (a, b)]
    names = [name for name in STAGES if any(name in side for side in sides)]
    return ByStage(diff_stage(name, sides[0].get(name), sides[1].get(name), policy) for name in names)


def diff_stage(name: str, a: Tensor | None, b: Tensor | None, policy: BitPolicy = DEFAULT) -> StageDiff:
    """How the two sides of one stage differ. None is a side that has no such stage.

    first_index is the first differing index in row-major order. worst lists the differing elements, incomparable ones
    first, then by distance, then by index; bits are as stored, before the policy. max_ulp is the greatest distance
    among comparable elements: 0 when none differs, None when all that differ are incomparable.
    Unlike shapes, by the rule above unlike dtypes, and a stage on one side only (the other's dtype is ABSENT, its shape
    ()): n_different = n_total, the elements of the larger side, max_ulp None, no elements, an empty histogram.
    Raises ValueError when both sides are None.
    """
    if a is None or b is None:
        return _absent(name, a, b)
    if a.device != b.device:
        a, b = a.cpu(), b.cpu()
    if a.shape != b.shape:
        return _unlike(name, a, b)
    if _compared_as_integers(name, a, b):
        return _counted(name, a, b, differences(_code_distance(a, b).reshape(-1)))
    if a.dtype == b.dtype:
        return _counted(name, a, b, bit_difference(storage(a), storage(b), bits_line(a.dtype, policy)))
    return _unlike(name, a, b)


def equal_cases(name: str, a: Tensor, b: Tensor, policy: BitPolicy = DEFAULT) -> Tensor:
    """bool [N]: element i tells whether diff_stage(name, a[i], b[i]) finds no difference, for stacks [N, ...].

    Raises ValueError when a or b has no leading axis, or when the two stack different numbers of cases.
    """
    if a.dim() == 0 or b.dim() == 0 or a.shape[0] != b.shape[0]:
        raise ValueError(f"equal_cases needs two stacks of as many cases, but {name} is {a.shape} and {b.shape}")
    if a.device != b.device:
        a, b = a.cpu(), b.cpu()
    n = a.shape[0]
    if a.shape != b.shape:
        return torch.zeros(n, dtype=torch.bool, device=a.device)
    if a.dtype == b.dtype:
        equal = _every(bits(a, policy) == bits(b, policy))
    else:
        equal = torch.zeros(n, dtype=torch.bool, device=a.device)
    if not _integer_stage(name):
        return equal
    as_integers = _every(_holds_integers(a) & _holds_integers(b))
    return torch.where(as_integers, _every(_code_distance(a, b) == 0), equal)


def sqnr_db(a: Tensor, b: Tensor) -> float | None:
    """10 log10(sum a^2 / sum (a - b)^2), in float64, each sum scaled by its largest term. Never inf, never NaN.

    A figure for people, not a verdict: its last digits follow the device's order of summation. None where the ratio is
    no finite number, which is when the sides are equal in value (also where their bits are not: -0.0 against 0.0), when
    a is all zero, and when NaN or infinity is on a side or a - b overflows.
    """
    reference = a.to(torch.float64)
    signal, noise = _log10_norm(reference), _log10_norm(reference - b.to(torch.float64))
    return None if signal is None or noise is None else 20 * (signal - noise)


def _log10_norm(x: Tensor) -> float | None:
    """log10 of sqrt(sum x^2) without overflow or underflow; None when the norm is zero or not finite."""
    peak = float(x.abs().max()) if x.numel() else 0.0
    if peak == 0 or not isfinite(peak):
        return None
    return log10(peak) + log10(float((x / peak).square().sum())) / 2


def _integer_stage(name: str) -> bool:
    return name.endswith((".codes", ".zero_point"))


def _compared_as_integers(name: str, a: Tensor, b: Tensor) -> bool:
    """Whether two sides of a stage are integers in some dtypes; of equal bits, or in one integer dtype, bits tell."""
    if not _integer_stage(name) or same_storage(a, b) or (a.dtype == b.dtype and float_format(a.dtype) is None):
        return False
    return bool(_holds_integers(a).all() and _holds_integers(b).all())


def _holds_integers(x: Tensor) -> Tensor:
    """bool, shape of x: the element is NaN or an integer that int64 holds."""
    if float_format(x.dtype) is not None:
        wide = x.to(torch.float64)
        return is_nan(x) | ((wide == wide.trunc()) & (wide.abs() < 2.0**63))
    return line(x) < 0 if x.dtype == torch.uint64 else torch.ones_like(x, dtype=torch.bool)


def _code_distance(a: Tensor, b: Tensor) -> Tensor:
    """|a - b| as int64 of tensors that hold integers, in any dtypes; INCOMPARABLE where one side alone is NaN."""
    nan_a, nan_b = is_nan(a), is_nan(b)
    steps = gap(_integers(a, nan_a), _integers(b, nan_b))
    return torch.where(nan_a | nan_b, torch.where(nan_a & nan_b, 0, INCOMPARABLE), steps)


def _integers(x: Tensor, nan: Tensor) -> Tensor:
    return x.to(torch.float64).masked_fill(nan, 0).to(torch.int64) if x.is_floating_point() else x.to(torch.int64)


def _every(flags: Tensor) -> Tensor:
    return flags.reshape(flags.shape[0], prod(flags.shape[1:])).all(dim=1)


def _counted(name: str, a: Tensor, b: Tensor, found: BitDifference) -> StageDiff:
    """The record of two sides whose elements part as counted."""
    if found.first is None:
        return _stage_diff(name, a, b, max_ulp=0, histogram=found.histogram)
    first, *worst = _elements(a, b, (found.first, *found.worst))
    return _stage_diff(
        name,
        a,
        b,
        n_different=found.n_different,
        max_ulp=found.max_ulp,
        first=first,
        worst=tuple(worst),
        histogram=found.histogram,
        sqnr=sqnr_db(a, b),
    )


def _elements(a: Tensor, b: Tensor, places: Sequence[Place]) -> list[Element]:
    """The elements at these flat positions."""
    at = torch.tensor([place.at for place in places], device=a.device)
    index = torch.stack(torch.unravel_index(at, a.shape), dim=1) if a.dim() else at.new_empty(len(at), 0)
    rows = zip(index.tolist(), _unsigned(a, at), _unsigned(b, at), places, strict=True)
    return [
        Element(index=tuple(i), bits_a=bits_a, bits_b=bits_b, ulp=None if ulp == INCOMPARABLE else ulp)
        for i, bits_a, bits_b, (_, ulp) in rows
    ]


def _unsigned(x: Tensor, at: Tensor) -> list[int]:
    """The stored bits at flat positions, as unsigned integers of the storage width."""
    return [value % (1 << 8 * x.element_size()) for value in storage(x).reshape(-1)[at].tolist()]


def _unlike(name: str, a: Tensor, b: Tensor) -> StageDiff:
    sqnr = sqnr_db(a, b) if a.shape == b.shape else None
    return _stage_diff(name, a, b, n_different=max(a.numel(), b.numel()), max_ulp=None, sqnr=sqnr)


def _absent(name: str, a: Tensor | None, b: Tensor | None) -> StageDiff:
    if a is None and b is None:
        raise ValueError(f"neither side has a stage {name}; a difference needs at least one")
    n = sum(side.numel() for side in (a, b) if side is not None)
    return _stage_diff(name, a, b, n_different=n, max_ulp=None)


def _stage_diff(
    name: str,
    a: Tensor | None,
    b: Tensor | None,
    *,
    max_ulp: int | None,
    n_different: int = 0,
    first: Element | None = None,
    worst: tuple[Element, ...] = (),
    histogram: tuple[int, ...] = (),
    sqnr: float | None = None,
) -> StageDiff:
    return StageDiff(
        stage=name,
        dtype_a=ABSENT if a is None else dtype_name(a.dtype),
        dtype_b=ABSENT if b is None else dtype_name(b.dtype),
        shape_a=() if a is None else tuple(a.shape),
        shape_b=() if b is None else tuple(b.shape),
        n_total=max(side.numel() for side in (a, b) if side is not None),
        n_different=n_different,
        max_ulp=max_ulp,
        first_index=None if first is None else first.index,
        first=first,
        worst=worst,
        histogram=histogram,
        sqnr_db=sqnr,
    )
