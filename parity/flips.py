"""What attribution may change in a scheme: every acting decision and every resolved value, each to its other values."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any, Final

import torch

from parity.bits import dtype_name
from parity.equivalences import merged
from quant import Mapping as RangeMapping
from quant import PerAxis, PerGroup, PerRow, PerTensor, PerToken, Rules, TensorScheme, ZeroPointDomain
from quant import decisions as d
from quant.computed import (
    code_dtype_of,
    origin_dtype_of,
    qparam_dtype_of,
    quotient_dtype_of,
    read_scale_dtype_of,
    rescale_dtype_of,
)
from quant.granularity import Granularity, Stacked
from quant.legality import INTEGER_DTYPES, SCALE_DTYPES
from quant.mapping import INTEGER_GRIDS, Extent
from quant.relevance import relevant
from quant.rules import enumeration_of
from quant.scheme import ResolvedScheme

# The gradient's decisions move no stage of a forward pass; held at identity they exclude no other decision.
_FORWARD: Final[Mapping[str, StrEnum]] = {
    "gradient_mask": d.GradientMask.ROUNDED,
    "gradient_product": d.GradientProduct.IDENTITY,
    "float_gradient_product": d.GradientProduct.IDENTITY,
}
# The last decision, in the order they act, that can move each stage of an operand; two act in every step.
_LAST: Final = {"scale": "zero_scale_at", "zero_point": "zero_point_offset", "codes": "nan_code"}
_EVERYWHERE: Final = ("float64_cast", "subnormals")
_FIRST_STAGE: Final = {"scheme.zero_point_dtype": "zero_point"}
# Those of a scheme that are compared one by one; bits, qmin and qmax are one flip.
_FIELDS: Final = (
    *("extent", "mapping", "preserve_zero", "scale_dtype", "global_scale_dtype", "zero_point_dtype", "eps"),
    "granularity",
)
_ORDER: Final = ("scale", "zero_point", "codes", "dequantized")


@dataclass(frozen=True, slots=True)
class Flip:
    """One change: `field` and `value` as an explanation writes them, `changes` as (attribute, value) pairs.

    A field of Rules or ProductRules has its own name; a value of the resolved scheme is "scheme.scale_dtype".
    """

    field: str
    value: str
    changes: tuple[tuple[str, Any], ...]


Flips = tuple[Flip, ...]


def forward_only(scheme: ResolvedScheme) -> ResolvedScheme:
    """The scheme under rules that compute the same stages, with no gradient to exclude a flip and no lossy refused."""
    return replace(scheme, rules=replace(scheme.rules.with_values(**_FORWARD), refuse_lossy=False))


def flipped(scheme: ResolvedScheme, flips: Iterable[Flip]) -> ResolvedScheme:
    """The scheme with these changes. Raises ValueError where they have no meaning."""
    rules: dict[str, Any] = {}
    values: dict[str, Any] = {}
    for flip in flips:
        (values if flip.field.startswith("scheme.") else rules).update(flip.changes)
    return replace(scheme, rules=replace(scheme.rules, **rules), **values)


def value_text(value: object) -> str:
    """A value as an explanation writes it: divide, bfloat16, 2**-23, [-8, 7], PerGroup(size=32)."""
    if isinstance(value, torch.dtype):
        return dtype_name(value)
    if isinstance(value, float) and (exact := torch.frexp(torch.tensor(value, dtype=torch.float64)))[0] == 0.5:
        return f"2**{int(exact[1]) - 1}"
    return str(value.inner if isinstance(value, Stacked) else value)


def field_text(scheme: TensorScheme, field: str) -> str:
    """The value that a scheme has for a flip's field."""
    if field == "scheme.qmin/qmax":
        return f"[{scheme.qmin}, {scheme.qmax}]"
    name = field.removeprefix("scheme.")
    return value_text(getattr(scheme.rules if name == field else scheme, name))


def rule_flip(field: str, value: Any) -> Flip:
    """One decision at another value."""
    return Flip(field, str(value), ((field, value),))


def differences(scheme: ResolvedScheme, other: ResolvedScheme) -> Flips:
    """The flips that make one scheme the other, as far as forward stages go."""
    rules = other.rules.differences(scheme.rules)
    found = [rule_flip(field, value) for field, value, _ in rules if field not in _FORWARD]
    for name in _FIELDS:
        if getattr(scheme, name) != getattr(other, name):
            found.append(_scheme_flip(name, getattr(other, name)))
    if (scheme.qmin, scheme.qmax) != (other.qmin, other.qmax):
        found.append(_grid_flip(other.bits, other.qmin, other.qmax))
    return tuple(found)


def flips_of(
    scheme: ResolvedScheme, dtype: torch.dtype, shape: tuple[int, ...], stage: str, eps: float | None = None
) -> Iterator[Flip]:
    """Every single flip that can move a bit at `stage` ("codes") or before, of values that are not provably equal.

    For a tensor of this dtype and shape. `eps` is a number, read off a stored scale, to be tried beside the known ones.
    """
    last = _LAST.get(stage)
    names = Rules.decisions()
    acting = {*relevant(scheme, dtype)} - _FORWARD.keys()
    reached = {*names} if last is None else {*names[: names.index(last) + 1], *_EVERYWHERE}
    for field in (name for name in names if name in acting & reached):
        classes = {_class_of(scheme, dtype, field)}
        for member in enumeration_of(Rules, field):
            try:
                same = _class_of(replace(scheme, rules=scheme.rules.with_values(**{field: member})), dtype, field)
            except ValueError:  # it excludes another decision, so only the two together can be tried
                same = member
            if same not in classes:
                classes.add(same)
                yield rule_flip(field, member)
    for flip in _scheme_flips(scheme, dtype, shape, eps):
        if _ORDER.index(_FIRST_STAGE.get(flip.field, "scale")) <= _ORDER.index(stage):
            yield flip


def _class_of(scheme: ResolvedScheme, dtype: torch.dtype, field: str) -> object:
    """What a decision comes to: two of its values with equal results are provably one."""
    value = getattr(scheme.rules, field)
    own, name = _resolved(scheme, dtype, field), str(value)
    if isinstance(own, torch.dtype) and field in ("qparam_dtype", "code_dtype", "rescale_dtype"):
        promoted = field == "rescale_dtype" and own is torch.promote_types(dtype, read_scale_dtype_of(scheme))
        name = "promoted" if promoted else dtype_name(own)
    return merged(scheme, dtype, field, name) or own


def _resolved(scheme: ResolvedScheme, dtype: torch.dtype, field: str) -> object:
    """The dtype or dtypes that a decision comes to, or its value."""
    value = getattr(scheme.rules, field)
    if field == "qparam_dtype":
        return qparam_dtype_of(scheme, dtype)
    if field == "code_dtype":
        quotient = code_dtype_of(scheme, dtype)
        if scheme.zero_point_domain is not ZeroPointDomain.FLOAT:
            return quotient
        offset = read_scale_dtype_of(scheme) if value is d.CodeDtype.PROMOTED else quotient
        return quotient_dtype_of(scheme, dtype), origin_dtype_of(scheme, dtype), offset
    if field in ("rescale_dtype", "float_rescale_dtype"):
        return rescale_dtype_of(scheme, dtype)
    if field == "subtract_dtype":
        resolved = {"output": dtype, "scale": read_scale_dtype_of(scheme), "float32": torch.float32}
        return resolved.get(value.value, value)
    if field == "zero_point_add_dtype":
        wide, z = code_dtype_of(scheme, dtype), scheme.zero_point_dtype
        if value is d.ZeroPointAddDtype.PROMOTED and z is not None:
            return torch.promote_types(wide, z)
        return wide if value is d.ZeroPointAddDtype.CODE else torch.float32
    return value


def _scheme_flips(
    scheme: ResolvedScheme, dtype: torch.dtype, shape: tuple[int, ...], eps: float | None
) -> Iterator[Flip]:
    for scale_dtype in SCALE_DTYPES:
        if scale_dtype is not scheme.scale_dtype:
            yield _scheme_flip("scale_dtype", scale_dtype)
    if scheme.rules.scale_overflow is d.ScaleOverflow.SATURATE:  # as a lower level needs
        yield _scheme_flip("global_scale_dtype", torch.float32 if scheme.global_scale_dtype is None else None)
    for value in _epses(dtype, scheme.scale_dtype, eps):
        if value != scheme.eps:
            yield _scheme_flip("eps", value)
    if scheme.mapping is RangeMapping.ASYMMETRIC:
        yield _scheme_flip("preserve_zero", not scheme.preserve_zero)
    if scheme.mapping in (RangeMapping.SYMMETRIC, RangeMapping.STRETCHED):
        for extent in Extent:
            once = extent is Extent.MEAN and scheme.bits == 1  # bits * mean|x| is mean|x|
            if extent is not scheme.extent and not once:
                yield _scheme_flip("extent", extent)
    if scheme.mapping in INTEGER_GRIDS:  # a stretched grid is its bits' only one, and no other mapping's
        for mapping in INTEGER_GRIDS:
            if mapping is not scheme.mapping:
                yield _scheme_flip("mapping", mapping)
        for grid in _grids(scheme.bits):
            if grid[1:] != (scheme.qmin, scheme.qmax):
                yield _grid_flip(*grid)
    for granularity in _granularities(scheme.granularity, shape):
        yield _scheme_flip("granularity", granularity)
    if scheme.zero_point_domain is not ZeroPointDomain.NONE:
        floats = (dtype, torch.float32) if scheme.zero_point_domain is ZeroPointDomain.FLOAT else ()
        for zero_point_dtype in dict.fromkeys((*INTEGER_DTYPES, *floats, *SCALE_DTYPES[:3])):
            if zero_point_dtype is not scheme.zero_point_dtype:
                yield _scheme_flip("zero_point_dtype", zero_point_dtype)


def _scheme_flip(name: str, value: Any) -> Flip:
    return Flip(f"scheme.{name}", value_text(value), ((name, value),))


def _grid_flip(bits: int, qmin: float, qmax: float) -> Flip:
    return Flip("scheme.qmin/qmax", f"[{qmin}, {qmax}]", (("bits", bits), ("qmin", qmin), ("qmax", qmax)))


def _grids(bits: int) -> Iterator[tuple[int, int, int]]:
    """(bits, qmin, qmax): signed, without the lowest code, unsigned, and each of them with one bit less."""
    for width in (bits, bits - 1):
        half = 2**width // 2
        if half > 1:
            yield bits, -half, half - 1
            yield bits, 1 - half, half - 1
            yield bits, 0, 2 * half - 1


def _granularities(own: Granularity, shape: tuple[int, ...]) -> Iterator[Granularity]:
    """Those that group this shape otherwise, one of each kind of block."""
    blocks = {own.block_shape(shape)}
    tried: tuple[Granularity, ...] = (PerTensor(), PerAxis(0), PerToken(), PerRow(), *map(PerGroup, (16, 32, 64, 128)))
    for inner in tried:
        granularity: Granularity = Stacked(inner) if isinstance(own, Stacked) else inner
        try:
            block = granularity.block_shape(shape)
        except ValueError:  # it does not divide this shape
            continue
        if block not in blocks:
            blocks.add(block)
            yield granularity


def _epses(dtype: torch.dtype, scale_dtype: torch.dtype, stored: float | None) -> tuple[float, ...]:
    """Properties of dtypes, numbers in use, and what a stored scale shows unless that is one of these, rounded."""
    dtypes = [torch.finfo(of) for of in (dtype, torch.float32, torch.bfloat16, torch.float16)]
    known = dict.fromkeys([*(of.eps for of in dtypes), *(of.smallest_normal for of in dtypes), 1e-6, 1e-5, 1e-12])
    rounded = torch.tensor([*known], dtype=torch.float64).to(scale_dtype).double().tolist()
    shown = () if stored is None or stored <= 0 or stored in rounded else (stored,)
    return (*known, *shown)
