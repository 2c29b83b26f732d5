"""rules="torchao" gives torchao 0.18's own bits: qparams, codes, dequantized values, fake quantization and gradients.

Everything is measured against torchao's primitives on CPU, on directed groups. Without torchao these tests are reported
as unrun, not as passed.
"""

from __future__ import annotations

from dataclasses import replace
from importlib.util import find_spec
from itertools import product
from typing import Any

import pytest
import torch
from torch import Tensor

from quant import (
    Mapping,
    Quantized,
    TensorScheme,
    ZeroPointDomain,
    choose_qparams,
    dequantize,
    quantize,
    rules_named,
)
from quant.codes import storage_dtype
from quant.fake import fake_operand
from quant.granularity import PerGroup
from quant.mapping import INTEGER_GRIDS
from suites.directed_groups import FLOATS, SIZE, directed, same_bits

pytestmark = pytest.mark.skipif(find_spec("torchao") is None, reason="unrun: the extra torchao is not installed")

TORCHAO, _ = rules_named("torchao")
SCALES = (*FLOATS, torch.float64)
GRIDS = ((2, -2, 1), (4, -8, 7), (8, -128, 127), (8, -127, 127), (4, 0, 15), (8, 0, 255))
TINYGEMM_GRIDS = ((4, 0, 15), (8, 0, 255), (4, 0, 14), (4, -8, 7))
BLOCK = (1, SIZE)


def scheme_of(**changes: Any) -> TensorScheme:
    grid: tuple[int, int, int] = changes.pop("grid", (4, -8, 7))
    values: dict[str, Any] = {"granularity": PerGroup(SIZE), "eps": torch.finfo(torch.float32).eps, "rules": TORCHAO}
    return TensorScheme(bits=grid[0], qmin=grid[1], qmax=grid[2], **(values | changes))


class Primitives:
    """torchao's functions for one scheme: the four that a domain and preserve_zero select, with its arguments bound."""

    def __init__(self, scheme: TensorScheme, dtype: torch.dtype) -> None:
        from torchao.quantization import quant_primitives as primitives

        self.module = primitives
        self.scheme = scheme.resolved(dtype)
        self.grid = (scheme.qmin, scheme.qmax)
        self.target = storage_dtype(scheme.qmin, scheme.qmax)

    def choose(self, x: Tensor) -> tuple[Tensor, Tensor | None]:
        """(scale, zero_point) in the shape of our qparams."""
        scheme, primitives = self.scheme, self.module
        name = "SYMMETRIC_NO_CLIPPING_ERR" if scheme.mapping is Mapping.SYMMETRIC_NO_CLIPPING else scheme.mapping.name
        choose = primitives.choose_qparams_affine
        if scheme.zero_point_domain is ZeroPointDomain.FLOAT:
            choose = primitives._choose_qparams_affine_tinygemm
        elif not scheme.preserve_zero:
            choose = primitives._choose_qparams_affine_dont_preserve_zero
        scale, zero_point = choose(
            x,
            primitives.MappingType[name],
            BLOCK,
            self.target,
            *self.grid,
            eps=scheme.eps,
            scale_dtype=scheme.scale_dtype,
            zero_point_dtype=scheme.zero_point_dtype or torch.int32,
        )
        shape = (x.shape[0], x.shape[1] // SIZE)
        absent = scheme.zero_point_domain is ZeroPointDomain.NONE
        return scale.reshape(shape), None if absent else zero_point.reshape(shape)

    def quantize(self, x: Tensor, scale: Tensor, zero_point: Tensor | None) -> Tensor:
        names = {
            ZeroPointDomain.FLOAT: "_quantize_affine_tinygemm",
            ZeroPointDomain.NONE: "_quantize_affine_no_zero_point",
        }
        function = getattr(self.module, names.get(self.scheme.zero_point_domain, "quantize_affine"))
        codes: Tensor = function(x, BLOCK, scale, zero_point, self.target, *self.grid)
        return codes

    def dequantize(self, codes: Tensor, scale: Tensor, zero_point: Tensor | None, dtype: torch.dtype) -> Tensor:
        names = {
            ZeroPointDomain.FLOAT: "_dequantize_affine_tinygemm",
            ZeroPointDomain.NONE: "_dequantize_affine_no_zero_point",
        }
        function = getattr(self.module, names.get(self.scheme.zero_point_domain, "dequantize_affine"))
        values: Tensor = function(codes, BLOCK, scale, zero_point, codes.dtype, *self.grid, output_dtype=dtype)
        return values

    def fake(self, x: Tensor, scale: Tensor, zero_point: Tensor | None) -> tuple[Tensor, Tensor]:
        """(float codes, fake-quantized values) with torchao's own autograd behind them."""
        domain = self.module.ZeroPointDomain[self.scheme.zero_point_domain.name]
        both: tuple[Tensor, Tensor] = self.module._do_fake_quantize_affine(
            x, BLOCK, scale, zero_point, self.target, *self.grid, domain
        )
        return both


def compare(scheme: TensorScheme, dtype: torch.dtype) -> list[str]:
    """Names of everything in which our path and torchao's differ, each fed with the same input and the same qparams."""
    x = directed(scheme, dtype, finite=False)
    theirs = Primitives(scheme, dtype)
    qparams = choose_qparams(x, scheme)
    scale, zero_point = theirs.choose(x)
    unequal = [
        name
        for name, a, b in (("scale", qparams.scale, scale), ("zero_point", qparams.zero_point, zero_point))
        if not same_bits(a, b)
    ]
    codes = theirs.quantize(x, scale, zero_point)
    own = quantize(x, qparams)
    if not same_bits(own.codes, codes):
        unequal.append("codes")
    for output in FLOATS:
        theirs_back = theirs.dequantize(codes, scale, zero_point, output)
        if not same_bits(dequantize(Quantized(codes=codes, qparams=qparams), output), theirs_back):
            unequal.append(f"dequantized to {output}")
    return unequal + compare_fake(scheme, x, theirs)


def compare_fake(scheme: TensorScheme, x: Tensor, theirs: Primitives) -> list[str]:
    """The same for fake quantization: float codes, values, and the gradient that torch's autograd gives torchao."""
    ours, other = x.clone().requires_grad_(), x.clone().requires_grad_()
    operand = fake_operand(ours, scheme)
    codes, values = theirs.fake(other, operand.qparams.scale, operand.qparams.zero_point)
    grad = directed(replace(scheme, preserve_zero=True), x.dtype, finite=False).flip(0, 1)
    operand.dequantized.backward(grad)
    values.backward(grad)
    pairs = (
        ("fake codes", operand.codes, codes),
        ("fake values", operand.dequantized, values),
        ("gradient", ours.grad, other.grad),
    )
    return [name for name, a, b in pairs if not same_bits(a, b)]


@pytest.mark.parametrize("scale_dtype", SCALES, ids=str)
@pytest.mark.parametrize("dtype", FLOATS, ids=str)
class TestPrimitives:
    @pytest.mark.parametrize("mapping", INTEGER_GRIDS)
    @pytest.mark.parametrize("preserve_zero", [True, False])
    def test_integer_domain(
        self, dtype: torch.dtype, scale_dtype: torch.dtype, mapping: Mapping, preserve_zero: bool
    ) -> None:
        if not preserve_zero and mapping is not Mapping.ASYMMETRIC:
            with pytest.raises(ValueError, match="a symmetric range always holds zero"):
                scheme_of(mapping=mapping, preserve_zero=False)
            return
        for grid, zero_point_dtype in product(GRIDS, (torch.int8, torch.int32)):
            scheme = scheme_of(
                grid=grid,
                mapping=mapping,
                preserve_zero=preserve_zero,
                scale_dtype=scale_dtype,
                zero_point_dtype=zero_point_dtype,
            )
            assert compare(scheme, dtype) == [], scheme

    @pytest.mark.parametrize("mapping", [Mapping.SYMMETRIC, Mapping.SYMMETRIC_NO_CLIPPING])
    def test_domain_without_zero_point(self, dtype: torch.dtype, scale_dtype: torch.dtype, mapping: Mapping) -> None:
        for grid in GRIDS[:4]:
            scheme = scheme_of(
                grid=grid,
                mapping=mapping,
                zero_point_domain=ZeroPointDomain.NONE,
                zero_point_dtype=None,
                scale_dtype=scale_dtype,
            )
            assert compare(scheme, dtype) == [], scheme

    @pytest.mark.parametrize("zero_point_dtype", [*FLOATS, torch.int32, torch.int8], ids=str)
    def test_float_domain(self, dtype: torch.dtype, scale_dtype: torch.dtype, zero_point_dtype: torch.dtype) -> None:
        for grid in TINYGEMM_GRIDS:
            scheme = scheme_of(
                grid=grid,
                mapping=Mapping.ASYMMETRIC,
                preserve_zero=False,
                zero_point_domain=ZeroPointDomain.FLOAT,
                zero_point_dtype=zero_point_dtype,
                scale_dtype=scale_dtype,
                eps=1e-6,
            )
            assert compare(scheme, dtype) == [], scheme


@pytest.mark.parametrize("dtype", FLOATS, ids=str)
@pytest.mark.parametrize("zero_point_dtype", [torch.int8, torch.uint8, torch.int16, torch.int32, torch.int64, *FLOATS])
def test_every_dtype_of_an_integer_zero_point(dtype: torch.dtype, zero_point_dtype: torch.dtype) -> None:
    for grid, mapping in product(((8, -128, 127), (4, 0, 15)), INTEGER_GRIDS):
        scheme = scheme_of(grid=grid, mapping=mapping, zero_point_dtype=zero_point_dtype, scale_dtype=torch.bfloat16)
        assert compare(scheme, dtype) == [], scheme


@pytest.mark.parametrize("dtype", FLOATS, ids=str)
@pytest.mark.parametrize("bits", range(1, 9))
def test_every_number_of_bits(dtype: torch.dtype, bits: int) -> None:
    grid = (bits, -(2 ** (bits - 1)), 2 ** (bits - 1) - 1)
    for mapping in INTEGER_GRIDS:
        if mapping is Mapping.SYMMETRIC_NO_CLIPPING and bits == 1:
            continue  # torchao divides by a qmax of zero; refused here, and tested in test_legality
        scheme = scheme_of(grid=grid, mapping=mapping, scale_dtype="model", zero_point_dtype=torch.int8)
        assert compare(scheme, dtype) == [], scheme


@pytest.mark.parametrize("dtype", FLOATS, ids=str)
@pytest.mark.parametrize("eps", [1e-3, 2.0**-7, 2.0**-14, 2.0**-126, 1.1e-38, 2.0**-149])
def test_every_eps(dtype: torch.dtype, eps: float) -> None:
    for mapping, scale_dtype in product(INTEGER_GRIDS, SCALES):
        scheme = scheme_of(mapping=mapping, scale_dtype=scale_dtype, eps=eps)
        assert compare(scheme, dtype) == [], scheme


@pytest.mark.parametrize("dtype", FLOATS, ids=str)
def test_sixteen_bits(dtype: torch.dtype) -> None:
    for mapping, scale_dtype in product(INTEGER_GRIDS, FLOATS):
        scheme = scheme_of(grid=(16, -(2**15), 2**15 - 1), mapping=mapping, scale_dtype=scale_dtype)
        assert compare(scheme, dtype) == [], scheme


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=str)
def test_scales_in_float64_reach_16_bits_through_float32(dtype: torch.dtype) -> None:
    """A scale 2^-40 above a tie: torch rounds it to the tie first and then to even, so torchao's value is 1.0."""
    scheme = scheme_of(scale_dtype=torch.float64)
    qparams = choose_qparams(torch.ones(1, SIZE, dtype=dtype), scheme)
    scale = 1 + torch.finfo(dtype).eps / 2 + 2.0**-40
    given = replace(qparams, scale=torch.full_like(qparams.scale, scale))
    quantized = Quantized(codes=torch.ones(1, SIZE, dtype=torch.int8), qparams=given)
    assert given.zero_point is not None
    theirs = Primitives(scheme, dtype).dequantize(quantized.codes, given.scale, given.zero_point, dtype)
    assert same_bits(dequantize(quantized, dtype), theirs)
    assert theirs.unique().tolist() == [1.0]
    once = replace(given, scheme=replace(given.scheme, rules=TORCHAO.with_values(float64_cast="once")))
    assert dequantize(replace(quantized, qparams=once), dtype).unique().tolist() == [1 + torch.finfo(dtype).eps]


def test_a_flipped_rule_is_seen() -> None:
    """The comparison can fail: a division in place of torchao's multiplication by the reciprocal moves codes."""
    divides = TORCHAO.with_values(code_division="divide", gradient_product="scale_over_scale")
    scheme = scheme_of(scale_dtype=torch.bfloat16, rules=divides)
    assert "codes" in compare(scheme, torch.float32)


def test_a_flipped_gradient_of_the_float_domain_is_seen() -> None:
    other = TORCHAO.with_values(
        float_code_division="reciprocal_multiply", float_gradient_product="scale_times_reciprocal"
    )
    scheme = scheme_of(
        grid=(4, 0, 15),
        mapping=Mapping.ASYMMETRIC,
        preserve_zero=False,
        zero_point_domain=ZeroPointDomain.FLOAT,
        zero_point_dtype="model",
        rules=other,
    )
    assert "gradient" in compare(scheme, torch.float32)
