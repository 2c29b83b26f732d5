"""Products, sums and refusals whose path depends on values, as single operators, which torch.export can record.

A tracer cannot follow `exact_product`, which looks at the bits before it chooses how to sum, so in a traced graph it
stands as one operator that runs the same code. A program that holds one is run where `kernels` is imported.
"""

import torch
from torch import Tensor

from kernels.code_product import code_product
from kernels.exact_product import exact_product
from kernels.mean_magnitude import mean_magnitude
from kernels.scattered_sums import scattered_sums
from kernels.without_nan import without_nan


def exact_values(x: Tensor, w: Tensor, bias: Tensor | None, dtype: torch.dtype) -> Tensor:
    """exact_values(x, w, bias, d) = exact_product(x, w, bias, d).value, eager or traced; no gradient flows."""
    if torch.compiler.is_compiling():
        result: Tensor = torch.ops.quant_parity.exact_product(x, w, bias, dtype)
        return result
    return exact_product(x, w, bias, dtype).value


def code_sums(x: Tensor, w: Tensor) -> Tensor:
    """code_sums(x, w) = code_product(x, w), eager or traced."""
    if torch.compiler.is_compiling():
        result: Tensor = torch.ops.quant_parity.code_product(x, w)
        return result
    return code_product(x, w)


def summed_rows(rows: Tensor, indices: Tensor, n: int) -> Tensor:
    """summed_rows(rows, indices, n) = scattered_sums(rows, indices, n), eager or traced."""
    if torch.compiler.is_compiling():
        result: Tensor = torch.ops.quant_parity.scattered_sums(rows, indices, n)
        return result
    return scattered_sums(rows, indices, n)


def mean_magnitudes(rows: Tensor, dtype: torch.dtype) -> Tensor:
    """mean_magnitudes(rows, d) = mean_magnitude(rows, d), eager or traced."""
    if torch.compiler.is_compiling():
        result: Tensor = torch.ops.quant_parity.mean_magnitude(rows, dtype)
        return result
    return mean_magnitude(rows, dtype)


def numbers_alone(x: Tensor, told: str) -> Tensor:
    """numbers_alone(x, told) = without_nan(x, told), eager or traced; no gradient flows."""
    if torch.compiler.is_compiling():
        result: Tensor = torch.ops.quant_parity.without_nan(x, told)
        return result
    return without_nan(x, told)


@torch.library.custom_op(
    "quant_parity::exact_product",
    mutates_args=(),
    schema="(Tensor x, Tensor w, Tensor? bias, ScalarType dtype) -> Tensor",
)
def _exact_product(x: Tensor, w: Tensor, bias: Tensor | None, dtype: torch.dtype) -> Tensor:
    return exact_product(x, w, bias, dtype).value


@torch.library.custom_op("quant_parity::code_product", mutates_args=(), schema="(Tensor x, Tensor w) -> Tensor")
def _code_product(x: Tensor, w: Tensor) -> Tensor:
    return code_product(x, w)


@torch.library.custom_op(
    "quant_parity::scattered_sums", mutates_args=(), schema="(Tensor rows, Tensor indices, SymInt n) -> Tensor"
)
def _scattered_sums(rows: Tensor, indices: Tensor, n: int) -> Tensor:
    return scattered_sums(rows, indices, n)


@torch.library.custom_op(
    "quant_parity::mean_magnitude", mutates_args=(), schema="(Tensor rows, ScalarType dtype) -> Tensor"
)
def _mean_magnitude(rows: Tensor, dtype: torch.dtype) -> Tensor:
    return mean_magnitude(rows, dtype)


@torch.library.custom_op("quant_parity::without_nan", mutates_args=(), schema="(Tensor x, str told) -> Tensor")
def _without_nan(x: Tensor, told: str) -> Tensor:
    return without_nan(x, told).clone()  # an operator's result is no alias of what it was given


@_exact_product.register_fake
def _(x: Tensor, w: Tensor, bias: Tensor | None, dtype: torch.dtype) -> Tensor:
    return x.new_empty(_shape(x, w), dtype=dtype)


@_code_product.register_fake
def _(x: Tensor, w: Tensor) -> Tensor:
    return x.new_empty(_shape(x, w), dtype=torch.int32)


@_scattered_sums.register_fake
def _(rows: Tensor, indices: Tensor, n: int) -> Tensor:
    return rows.new_empty(n, rows.shape[-1])


@_mean_magnitude.register_fake
def _(rows: Tensor, dtype: torch.dtype) -> Tensor:
    return rows.new_empty((*rows.shape[:-1], 1), dtype=dtype)


@_without_nan.register_fake
def _(x: Tensor, told: str) -> Tensor:
    return torch.empty_like(x)


def _shape(x: Tensor, w: Tensor) -> tuple[int, ...]:
    """[..., M, N] of [..., M, K] and [..., N, K]."""
    return (*torch.broadcast_shapes(x.shape[:-2], w.shape[:-2]), x.shape[-2], w.shape[-2])
