"""Values of one decision that are provably one: whatever the input, NaN and infinities included, every stage is equal.

A row holds where its condition does. `proof` says why; `proved_by` are the words of `parity prove` that see it on every
16-bit operand. An explanation merges the values, and a mutant from one to the other cannot be caught.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch

from parity.equivalence_conditions import (
    divides_sixteen_bits,
    exact_eps,
    grid_codes,
    promoted,
    reads_stored_scale,
    rounds_once,
    short_products,
    sixteen_bits,
    stores_codes,
    through_float32,
    whole_distances,
    whole_zero_points,
)
from parity.proving.operands import ENUMERABLE
from quant import Mapping, ZeroPointDomain
from quant import decisions as d
from quant.computed import code_dtype_of, qparam_dtype_of, quotient_dtype_of, read_scale_dtype_of
from quant.scheme import ResolvedScheme

Condition = Callable[[ResolvedScheme, torch.dtype], bool]


@dataclass(frozen=True, slots=True, kw_only=True)
class Equivalence:
    """Two or more values of a field that give equal bits under a condition, which never reads that field."""

    field: str
    values: tuple[str, ...]
    where: str
    holds: Condition
    proof: str
    proved_by: tuple[str, ...]


def merged(scheme: ResolvedScheme, dtype: torch.dtype, field: str, value: str) -> str | None:
    """The first of the values that this one is provably equal to, for a tensor of a dtype; None where no row holds."""
    for row in EQUIVALENCES:
        if row.field == field and value in row.values and row.holds(scheme, dtype):
            return row.values[0]
    return None


EQUIVALENCES: tuple[Equivalence, ...] = (
    Equivalence(
        field="subtract_dtype",
        values=("float32", "output", "scale"),
        where="codes of at most 8 bits, an integer zero point in the grid or none",
        holds=lambda scheme, dtype: whole_distances(scheme),
        proof="|q - z| < 256 is exact in every float dtype, bf16's 8 bits included",
        proved_by=(
            "subtract_dtype=output --step dequantize --dtype bf16,fp16 --bits 8 --zero-point all",
            "subtract_dtype=scale --step dequantize --dtype bf16,fp16 --bits 8 --zero-point all",
        ),
    ),
    Equivalence(
        field="subtract_dtype",
        values=("float32", "output", "scale", "int32"),
        where="the same of integer codes, the zero point a constant or none, so that no NaN becomes one",
        holds=lambda scheme, dtype: (
            whole_distances(scheme) and stores_codes(scheme) and scheme.mapping is not Mapping.ASYMMETRIC
        ),
        proof="|q - z| < 256 is exact in every float dtype, and in int32",
        proved_by=("subtract_dtype=int32 --step dequantize --dtype bf16,fp16 --bits 8 --zero-point all",),
    ),
    Equivalence(
        field="rescale_dtype",
        values=("float32", "promoted", "float64"),
        where=(
            "codes of at most 8 bits, an operand rounded to the output, a 16-bit stored scale, or one of float32 where "
            "float64 is rounded through float32"
        ),
        holds=lambda scheme, dtype: whole_distances(scheme) and short_products(scheme) and rounds_once(scheme, dtype),
        proof=(
            "8 bits times 11 are exact in float32 and float64, and times 24 in float64, which rounds to float32 first; "
            "promoted rounds the same product once"
        ),
        proved_by=(
            "rescale_dtype=float64 --step dequantize --dtype bf16,fp16 --bits 8 --zero-point all",
            "rescale_dtype=promoted --step dequantize --dtype bf16,fp16 --bits 8 --zero-point all",
        ),
    ),
    Equivalence(
        field="rescale_dtype",
        values=("float32", "promoted"),
        where="codes of at most 8 bits, a stored scale that is not float64, an operand rounded to the output",
        holds=lambda scheme, dtype: (
            whole_distances(scheme) and read_scale_dtype_of(scheme) is not torch.float64 and rounds_once(scheme, dtype)
        ),
        proof="a 16-bit product is the float32 one rounded to 16 bits, and that is the cast to the output",
        proved_by=("rescale_dtype=promoted --step dequantize --dtype bf16,fp16 --bits 8 --zero-point all",),
    ),
    Equivalence(
        field="rescale_dtype",
        values=("promoted", "float64"),
        where="float64 rounded through float32, q - z of no more bits than promoted has, an operand rounded from that",
        holds=lambda scheme, dtype: (
            scheme.zero_point_domain is not ZeroPointDomain.FLOAT
            and through_float32(scheme)
            and (
                promoted(scheme, dtype) not in ENUMERABLE
                or (rounds_once(scheme, dtype) and scheme.rules.subtract_dtype is not d.SubtractDtype.FLOAT32)
            )
        ),
        proof=(
            "24 bits times 24 are exact in float64, which rounds to float32 as float32's product does; 11 times 11, of "
            "an integer, are exact in float32, and the cast from there rounds to 16 bits as their product does"
        ),
        proved_by=("rescale_dtype=float64 --against torchao --step dequantize --dtype bf16,fp16 --bits 8",),
    ),
    Equivalence(
        field="float_rescale_dtype",
        values=("promoted", "float64"),
        where="FLOAT domain, float64 rounded through float32, a product rounded to the output before the addition",
        holds=lambda scheme, dtype: (
            scheme.zero_point_domain is ZeroPointDomain.FLOAT
            and through_float32(scheme)
            and scheme.rules.rescale_fusion is d.RescaleFusion.TWO_ROUNDINGS
            and scheme.rules.rescale_intermediate is d.RescaleIntermediate.OUTPUT
        ),
        proof="the same of q - mid, which is rounded to the output before it is multiplied",
        proved_by=(
            "float_rescale_dtype=float64 --against torchao --step dequantize --domain float "
            "--dtype bf16,fp16 --bits 4,8 --zero-point telling",
        ),
    ),
    Equivalence(
        field="code_dtype",
        values=("float32", "float64"),
        where="16-bit input and scale, x / s by division, stored codes of at most 8 bits rounded to nearest or cut",
        holds=lambda scheme, dtype: (
            sixteen_bits(scheme, dtype)
            and stores_codes(scheme)
            and scheme.rules.subnormals is d.Subnormals.KEEP
            and scheme.zero_point_domain is not ZeroPointDomain.FLOAT
            and scheme.rules.code_scale is d.ScaleSource.STORED
            and scheme.rules.code_division is d.CodeDivision.DIVIDE
            and scheme.rules.zero_point_add is d.ZeroPointAdd.AFTER_ROUND
            and scheme.rules.code_rounding
            in (d.CodeRounding.HALF_EVEN, d.CodeRounding.HALF_AWAY, d.CodeRounding.TRUNCATE)
        ),
        proof=(
            "|x / s - h| for a half-integer h below 256 is 0 or at least h * 2^-20, since 2 x and 2 h s are integers "
            "in one unit, the smaller of at most 20 bits; float32 rounds by less, so both lie on one side of h"
        ),
        proved_by=(
            "code_dtype=float64 --dtype bf16,fp16 --bits 8 --zero-point -128",
            "code_dtype=float64 --dtype bf16,fp16 --bits 8 --zero-point 127",
        ),
    ),
    Equivalence(
        field="zero_point_add_dtype",
        values=("promoted", "code", "float32"),
        where="stored codes of at most 8 bits, an integer zero point added after rounding",
        holds=lambda scheme, dtype: (
            stores_codes(scheme)
            and whole_zero_points(scheme)
            and scheme.rules.zero_point_add is d.ZeroPointAdd.AFTER_ROUND
            and code_dtype_of(scheme, dtype) is not torch.float64
        ),
        proof="a sum within the grid is below 256 and exact in bf16; one beyond the grid stays beyond, and is clamped",
        proved_by=(
            "zero_point_add_dtype=code --against torchao --dtype bf16,fp16 --bits 8 --zero-point -128",
            "zero_point_add_dtype=float32 --against torchao --dtype bf16,fp16 --bits 8 --zero-point 127",
        ),
    ),
    Equivalence(
        field="reciprocal_dtype",
        values=("scale", "code"),
        where="the quotient has the stored scale's dtype, and the stored scale is what is read",
        holds=lambda scheme, dtype: (
            quotient_dtype_of(scheme, dtype) is read_scale_dtype_of(scheme)
            and scheme.rules.code_scale is d.ScaleSource.STORED
        ),
        proof="both round 1/s to the one dtype that S and C are",
        proved_by=("reciprocal_dtype=code --against torchao --dtype bf16,fp16 --bits 8",),
    ),
    Equivalence(
        field="eps_order",
        values=("before_storage", "after_storage"),
        where="eps is a normal number of S and Q, the scale is rounded to nearest, and only the stored one is read",
        holds=lambda scheme, dtype: (
            scheme.rules.eps_target is d.EpsTarget.SCALE
            and exact_eps(scheme, qparam_dtype_of(scheme, dtype))
            and reads_stored_scale(scheme)
            and scheme.rules.scale_rounding is d.ScaleRounding.NEAREST_EVEN
            and scheme.rules.subnormals is d.Subnormals.KEEP
        ),
        proof="rounding never falls as a number rises, so max(R(s), eps) = R(max(s, eps)) where R(eps) = eps",
        proved_by=("eps_order=after_storage --step choose_qparams --dtype bf16,fp16",),
    ),
    Equivalence(
        field="symmetric_scale",
        values=("half_span", "doubled_over_span"),
        where="Q holds twice every finite number of the input's dtype",
        holds=lambda scheme, dtype: (
            2.0 * torch.finfo(dtype).max <= torch.finfo(qparam_dtype_of(scheme, dtype)).max
            and scheme.rules.subnormals is d.Subnormals.KEEP
        ),
        proof="2 a and 1 / (span / 2) = 2 / span are exact, so one real number is rounded either way",
        proved_by=("symmetric_scale=doubled_over_span --step choose_qparams --dtype fp16 --bits 2,4,8",),
    ),
    Equivalence(
        field="qparam_dtype",
        values=("float32", "float64"),
        where="16-bit input and scale, a symmetric range over half the span by division, at most 8 bits, eps exact",
        holds=lambda scheme, dtype: (
            sixteen_bits(scheme, dtype)
            and scheme.bits <= 8
            and scheme.mapping is Mapping.SYMMETRIC
            and scheme.rules.symmetric_scale is d.SymmetricScale.HALF_SPAN
            and scheme.rules.scalar_division is d.ScalarDivision.DIVIDE
            and scheme.rules.scale_rounding is d.ScaleRounding.NEAREST_EVEN
            and scheme.rules.eps_target is not d.EpsTarget.RANGE
            and scheme.rules.subnormals is d.Subnormals.KEEP
            and exact_eps(scheme, torch.float32)
            and reads_stored_scale(scheme)
        ),
        proof=(
            "|2 a / span - h| for a tie h of S is 0 or at least h * 2^-20, since 2 a and h * span are integers in one "
            "unit, the smaller of at most 20 bits; float32 rounds by less, so both lie on one side of h"
        ),
        proved_by=("qparam_dtype=float64 --step choose_qparams --dtype bf16,fp16 --bits 2,4,8",),
    ),
    Equivalence(
        field="scalar_division",
        values=("divide", "reciprocal_multiply"),
        where="16-bit input and scale, at most 8 bits, and what is divided is a 16-bit number",
        holds=divides_sixteen_bits,
        proof=(
            "|a / c - h| for a tie h of 16 bits is 0 or at least h * 2^-20, since 2 a and 2 h c are integers in one "
            "unit, the smaller of at most 20 bits; a times float32's 1 / c is off by less than 2^-23 of it"
        ),
        proved_by=(
            "scalar_division=reciprocal_multiply --step choose_qparams --dtype bf16,fp16 --bits 2,4,8",
            "scalar_division=reciprocal_multiply --against torchao --step choose_qparams --mapping asymmetric "
            "--dtype bf16,fp16 --bits 8",
            "scalar_division=reciprocal_multiply --against torchao --step choose_qparams --domain float "
            "--dtype bf16,fp16",
        ),
    ),
    Equivalence(
        field="rescale_fusion",
        values=("two_roundings", "fma"),
        where="FLOAT domain, codes of at most 8 bits, an fp16 scale, a float32 product that is kept",
        holds=lambda scheme, dtype: (
            grid_codes(scheme)
            and scheme.zero_point_domain is ZeroPointDomain.FLOAT
            and read_scale_dtype_of(scheme) is torch.float16
            and scheme.zero_point_dtype in (*ENUMERABLE, torch.float32)
            and scheme.rules.rescale_intermediate is d.RescaleIntermediate.KEEP
            and scheme.rules.float_rescale_dtype is d.RescaleDtype.FLOAT32
            and scheme.rules.dequantize_scale is d.ScaleSource.STORED
            and scheme.rules.subnormals is d.Subnormals.KEEP
        ),
        proof="8 bits times 11 are exact in float32 and do not overflow it, so the sum is the one rounding either way",
        proved_by=(
            "rescale_fusion=fma --against engine,float_rescale_dtype=float32 --step dequantize --domain float "
            "--dtype fp16 --bits 4,8 --zero-point telling",
        ),
    ),
)
