"""The oracle's own arithmetic: formats against all bit patterns, roundings against their definition, steps by hand."""

from __future__ import annotations

import ast
import math
import operator
from fractions import Fraction
from itertools import product
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

import parity.oracle
from parity import oracle
from parity.counter import words
from parity.oracle.binary_format import (
    BFLOAT16,
    COMPUTED,
    E4M3,
    FLOAT16,
    FLOAT32,
    FLOAT64,
    STORED,
    BinaryFormat,
    dtype_of,
    promoted,
)
from parity.oracle.bulk import Bulk
from parity.oracle.encoding import decode, encode
from parity.oracle.number import Number, rounded
from parity.oracle.rational import Rational
from parity.oracle.whole import round_to_whole, to_integers
from quant import Mapping, PerTensor, TensorScheme
from quant.rule_sets import ENGINE, TORCHAO
from suites import rationals

FORMATS = list(STORED.values())
SPECIAL = [0.0, -0.0, 1.0, -1.0, 3.0, 2.0**-149, -(2.0**-126), 2.0**127, math.inf, -math.inf, math.nan]
ALLOWED = {"scheme", "rules", "product_rules", "decisions", "mapping", "granularity", "eps"}


def same(a: float, b: float) -> bool:
    """Equal as bits, any NaN being any other."""
    return (a != a and b != b) or (a == b and math.copysign(1, a) == math.copysign(1, b))


def patterns(dtype: torch.dtype) -> Tensor:
    """All of a dtype of 8 or 16 bits, and every exponent of a wider one with ends and middle of its mantissas."""
    width = torch.finfo(dtype).bits
    if width == 8:
        return torch.arange(-(2**7), 2**7).to(torch.int8).view(dtype)
    if width == 16:
        return torch.arange(-(2**15), 2**15).to(torch.int16).view(dtype)
    kept = 23 if width == 32 else 52
    exponents = torch.arange(2 ** (width - 1 - kept), dtype=torch.int64) << kept
    mantissas = torch.tensor([0, 1, 2 ** (kept - 1), 2**kept - 1], dtype=torch.int64)
    magnitudes = (exponents[:, None] + mantissas).flatten()
    signs = torch.tensor([0, -(2 ** (width - 1))], dtype=torch.int64)
    return (magnitudes[:, None] + signs).flatten().to(torch.int32 if width == 32 else torch.int64).view(dtype)


def test_nothing_of_quant_but_data_and_nothing_of_kernels() -> None:
    for path in Path(parity.oracle.__file__).parent.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            names = [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            names += [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            for name in names:
                room, _, module = name.partition(".")
                assert room != "kernels", path
                if room == "quant":
                    assert (module or node.names[0].name) in ALLOWED, f"{path.name} imports {name}"


@pytest.mark.parametrize("form", FORMATS, ids=lambda form: form.name)
def test_every_pattern_is_decoded_as_torch_reads_it_and_encoded_back(form: BinaryFormat) -> None:
    x = patterns(dtype_of(form))
    values = decode(x)
    assert all(map(same, values.tolist(), x.to(torch.float64).tolist()))
    assert rationals.same_bits(encode(values, form), x)


def test_a_format_without_infinities_is_refused_one_and_has_one_nan() -> None:
    with pytest.raises(ValueError, match=r"inf.* is no value of float8_e4m3fn; round it first"):
        encode(np.array([1.0, math.inf]), E4M3)
    assert encode(np.array([448.0, math.nan]), E4M3).view(torch.int8).tolist() == [0x7E, 0x7F]
    for arithmetic in (Rational(), Bulk()):
        with np.errstate(all="ignore"):
            beyond = arithmetic.into(arithmetic.read(np.array([465.0, -1e9, math.inf, math.nan])), E4M3)
        assert all(map(same, arithmetic.write(beyond).tolist(), [448.0, -448.0, 448.0, math.nan]))


def test_encoding_refuses_what_a_format_does_not_hold() -> None:
    for value in (1 + 2.0**-8, 2.0**128, 2.0**-134):
        with pytest.raises(ValueError, match="is no value of bfloat16; round it first"):
            encode(np.array([1.0, value]), BFLOAT16)


@pytest.mark.parametrize("dtype", rationals.SIXTEEN_BITS)
@pytest.mark.parametrize("arithmetic", [Rational, Bulk])
def test_rounding_around_every_value_and_midpoint(dtype: torch.dtype, arithmetic: type[Rational] | type[Bulk]) -> None:
    inputs, answers = rationals.neighbourhoods(dtype, torch.float64)
    if arithmetic is Rational:
        inputs, answers = inputs[..., ::41], answers[..., ::41]
    m = arithmetic()
    found = m.write(m.into(m.read(inputs.numpy()), STORED[dtype]))
    assert rationals.same_bits(encode(found, STORED[dtype]), answers)


@pytest.mark.parametrize("form", FORMATS, ids=lambda form: form.name)
def test_rounding_a_fraction_is_rounding_by_definition(form: BinaryFormat) -> None:
    for numerator, denominator, e in product(
        (1, 2, 3, 1001, -7), (1, 3, 2**9 - 1), (-1080, -150, -135, -25, 0, 15, 127)
    ):
        exact = Fraction(numerator, denominator) * Fraction(2) ** e
        assert same(float(rounded(Number.of(exact), form)), rationals.rounded(exact, dtype_of(form)))


@pytest.mark.parametrize("operation", [operator.add, operator.sub, operator.mul, operator.truediv])
def test_rationals_in_float64_are_what_the_processor_computes(operation: object) -> None:
    values = [*SPECIAL, 0.1, -1e300, 1e-300, 2.0**-1074]
    name = operation.__name__  # type: ignore[attr-defined]  # functions of operator have one
    for a, b in product(values, values):
        with np.errstate(all="ignore"):
            wanted = float(operation(np.float64(a), np.float64(b)))  # type: ignore[operator]  # one of the four
        found = rounded(operation(Number.of(a), Number.of(b)), FLOAT64)  # type: ignore[operator]  # one of the four
        assert same(float(found), wanted), (name, a, b)


@pytest.mark.parametrize("form", FORMATS, ids=lambda form: form.name)
def test_both_forms_round_every_operation_alike(form: BinaryFormat) -> None:
    """float32 operands, near one another and far apart, with ties made by a last bit of their own."""
    drawn = words(5, 1200).reshape(3, -1)
    near = (drawn & 0x80FFFFFF) | 0x3F000000  # either sign, magnitudes in [1/2, 2)
    wide = torch.where(drawn[0] % 3 == 0, near, drawn & 0xFFFFFFFF)
    operands = [decode(wide[i].to(torch.int32).view(torch.float32)) for i in range(3)]
    operands = [np.concatenate([side, np.repeat(SPECIAL, len(SPECIAL))]) for side in operands]
    operands[1][-(len(SPECIAL) ** 2) :] = np.tile(SPECIAL, len(SPECIAL))
    for name in ("add", "subtract", "multiply", "divide", "fma", "add_once", "multiply_once", "divide_once"):
        found = []
        for m in (Rational(), Bulk()):
            with np.errstate(all="ignore"):
                chosen = [m.read(side) for side in operands[: 3 if name == "fma" else 2]]
                found.append(m.write(getattr(m, name)(*chosen, form)).tolist())
        assert all(map(same, *found)), name


def test_bulk_refuses_what_it_cannot_prove() -> None:
    with pytest.raises(ArithmeticError, match=r"outside .* use the rational form"):
        Bulk().multiply(np.array([1e200]), np.array([1.0]), FLOAT32)


def test_fma_needs_its_one_rounding() -> None:
    """(1 + 2^-12)^2 - (1 + 2^-11) = 2^-24, which a rounded product loses."""
    for m in (Rational(), Bulk()):
        a, c = m.read(np.array([1 + 2.0**-12])), m.read(np.array([-(1 + 2.0**-11)]))
        assert m.write(m.fma(a, a, c, FLOAT32))[0] == 2.0**-24
        assert m.write(m.add(m.multiply(a, a, FLOAT32), c, FLOAT32))[0] == 0.0


def test_fma_of_a_product_that_float64_cannot_hold() -> None:
    """Bulk: (2^30 + 1)^2 has 61 bits, and what is left after taking 2^60 away tells whether they were kept."""
    for m in (Rational(), Bulk()):
        a, c = m.read(np.array([2.0**30 + 1])), m.read(np.array([-(2.0**60)]))
        assert m.write(m.fma(a, a, c, FLOAT64))[0] == 2.0**31 + 1


def test_flush_keeps_the_sign() -> None:
    for m in (Rational(flush=True), Bulk(flush=True)):
        found = m.write(m.multiply(m.read(np.array([2.0**-126, -(2.0**-126)])), m.number(0.5), FLOAT32))
        assert [math.copysign(1, v) for v in found] == [1, -1]
        assert not found.any()


@pytest.mark.parametrize("m", [Rational(), Bulk()], ids=["rational", "bulk"])
@pytest.mark.parametrize(
    ("rule", "answers"),
    [
        ("half_even", [0, -0.0, 2, -2, 2, 0, 3]),
        ("half_away", [1, -1, 2, -2, 3, 0, 3]),
        ("half_up", [1, 0, 2, -1, 3, 1, 3]),
        ("half_away_by_adding", [1, -1, 2, -2, 3, 1, 3]),
        ("truncate", [0, -0.0, 1, -1, 2, 0, 2]),
    ],
)
def test_rounding_to_integers(m: Rational | Bulk, rule: str, answers: list[float]) -> None:
    below_half = 0.5 - 2.0**-25  # float32's 0.49999997, to which adding a half gives 1
    t = m.read(np.array([0.5, -0.5, 1.5, -1.5, 2.5, below_half, 2.75]))
    assert all(map(same, m.write(round_to_whole(t, rule, FLOAT32, m)).tolist(), answers))


@pytest.mark.parametrize("m", [Rational(), Bulk()], ids=["rational", "bulk"])
def test_conversion_to_integers_is_that_of_x86(m: Rational | Bulk) -> None:
    t = m.read(np.array([300.7, -129.0, 2.0**31, -(2.0**31), 1e20, math.inf, math.nan]))
    assert to_integers(t, torch.int32, m).tolist() == [300, -129, *[-(2**31)] * 5]
    assert to_integers(t, torch.int8, m).tolist() == [44, 127, 0, 0, 0, 0, 0]
    assert to_integers(t, torch.uint8, m).tolist() == [44, 127, 0, 0, 0, 0, 0]
    assert to_integers(t, torch.int64, m).tolist() == [300, -129, 2**31, -(2**31), *[-(2**63)] * 3]


def test_promotion_is_torchs() -> None:
    for a, b in product(COMPUTED, COMPUTED):
        assert dtype_of(promoted(COMPUTED[a], COMPUTED[b])) == torch.promote_types(a, b)
    assert promoted(FLOAT16, BFLOAT16) == FLOAT32


# --- whole traces, worked by hand ---------------------------------------------------------------------------------


def worked(x: list[float], dtype: torch.dtype, **changes: object) -> oracle.OracleTrace:
    fields = {
        "bits": 4, "qmin": -8, "qmax": 7, "granularity": PerTensor(), "zero_point_dtype": torch.int8,
        "scale_dtype": torch.float32, "eps": 2.0**-126, "rules": ENGINE,
    }  # fmt: skip
    values = torch.tensor(x, dtype=dtype)
    return oracle.trace(values, TensorScheme(**{**fields, **changes}), fake=False, output_dtype=dtype)


def test_symmetric_by_hand() -> None:
    """7.5 / 7.5 = 1: ties at halves go to the even code, and what is beyond the grid to its end."""
    found = worked([7.5, 0.5, 1.5, -0.5, -1.25, -7.5], torch.float32)
    assert found.scale.item() == 1.0
    assert found.zero_point is not None
    assert found.zero_point.item() == 0
    assert found.codes.tolist() == [7, 0, 2, 0, -1, -8]
    assert found.dequantized.tolist() == [7.0, 0.0, 2.0, 0.0, -1.0, -8.0]
    assert found.near_tie.tolist() == [False, True, True, True, False, True]
    assert found.tie_distance[4] == 0.25 * 2.0**23  # a quarter, where an ulp is 2^-23


def test_asymmetric_by_hand() -> None:
    """[-1, 14] over 15 steps is a scale of 1; zero lies one step above the lowest code."""
    found = worked([-1.0, 14.0, 0.0, 2.5, 3.5], torch.float32, mapping=Mapping.ASYMMETRIC)
    assert found.scale.item() == 1.0
    assert found.zero_point is not None
    assert found.zero_point.item() == -7
    assert found.codes.tolist() == [-8, 7, -7, -5, -3]
    assert found.dequantized.tolist() == [-1.0, 14.0, 0.0, 2.0, 4.0]


def test_division_and_reciprocal_part_at_the_known_witness() -> None:
    """x = -0x1.15f84ep+2, s = 0x1.170f5ep-5: x/s and x * R(1/s) lie on two sides of a tie."""
    x, s = float.fromhex("-0x1.15f84ep+2"), float.fromhex("0x1.170f5ep-5")
    codes = []
    for rules in (ENGINE, ENGINE.with_values(code_division="reciprocal_multiply", reciprocal_dtype="code")):
        given = rules.with_values(eps_order="after_storage")  # eps, the larger, is the scale
        found = worked(
            [x], torch.float32, bits=16, qmin=-32768, qmax=32767, rules=given, eps=s, zero_point_dtype=torch.int32
        )
        assert found.scale.item() == s
        codes.append(found.codes.item())
    assert abs(codes[0] - codes[1]) == 1


def test_torchao_keeps_a_bfloat16_scale() -> None:
    """1 / 7.5 = 0x1.1111...p-3 is 0x1.12p-3 in bfloat16."""
    found = worked([1.0, -0.5], torch.bfloat16, scale_dtype=torch.bfloat16, rules=TORCHAO)
    assert found.scale.item() == float.fromhex("0x1.12p-3")
    assert found.codes.tolist() == [7, -4]
    assert found.dequantized.tolist() == [0.9375, -0.53515625]  # 7 * 0x1.12p-3 = 239.75 steps of 2^-8
