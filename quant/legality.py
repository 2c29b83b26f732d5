"""Which combinations have a meaning: every check raises a ValueError that names fields, values and what is legal.

Nothing is coerced. Two different reasons give two different sentences; suites test each of them.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch

from quant import decisions as d
from quant.computed import code_dtype_of
from quant.eps import EpsOf
from quant.granularity import PerAxis, PerRow, PerTensor, PerToken, Stacked
from quant.mapping import Mapping, ZeroPointDomain

if TYPE_CHECKING:
    from quant.scheme import QuantScheme, TensorScheme

INPUT_DTYPES = (torch.float32, torch.bfloat16, torch.float16)
SCALE_DTYPES = (torch.float32, torch.bfloat16, torch.float16, torch.float64)
INTEGER_DTYPES = (torch.int8, torch.uint8, torch.int16, torch.int32, torch.int64)
MAX_BITS = 16


def check_tensor_scheme(scheme: TensorScheme) -> None:
    """What can be said of a tensor's scheme before it meets a tensor."""
    _check_grid(scheme)
    _check_mapping(scheme)
    _check_zero_point(scheme)
    _check_rules(scheme)
    if scheme.scale_dtype != "model" and scheme.scale_dtype not in SCALE_DTYPES:
        raise ValueError(f"scale_dtype is {scheme.scale_dtype!r}; use 'model' or one of {_names(SCALE_DTYPES)}")
    if not isinstance(scheme.eps, EpsOf) and not (math.isfinite(scheme.eps) and scheme.eps > 0):
        raise ValueError(
            f"eps is {scheme.eps}; it must be a positive finite number or an EpsOf (to bound nothing, use rules with "
            "eps_target none)"
        )


def check_input_dtype(dtype: torch.dtype) -> None:
    """Only fp32, bf16 and fp16 tensors are quantized."""
    if dtype not in INPUT_DTYPES:
        raise ValueError(f"the tensor's dtype is {dtype}; quantization takes one of {_names(INPUT_DTYPES)}")


def check_resolved(scheme: TensorScheme, dtype: torch.dtype) -> None:
    """What can only be said once every dtype is known; waived by rules that do not refuse lossy schemes."""
    if not scheme.rules.refuse_lossy:
        return
    assert isinstance(scheme.scale_dtype, torch.dtype) and isinstance(scheme.eps, float)
    stored_eps = torch.tensor(scheme.eps, dtype=torch.float64).to(scheme.scale_dtype).item()
    if stored_eps == 0.0 and scheme.rules.eps_target == d.EpsTarget.SCALE and scheme.rules.zero_scale == "keep":
        raise ValueError(
            f"eps is {scheme.eps!r} and scale_dtype is {scheme.scale_dtype}: eps rounds to zero there, so a group of "
            f"zeros would be divided by zero; use an eps of at least {torch.finfo(scheme.scale_dtype).smallest_normal}"
        )
    computed = code_dtype_of(scheme, dtype)
    exact_bits = {torch.bfloat16: 8, torch.float16: 11, torch.float32: 24, torch.float64: 53}[computed]
    if scheme.rules.clamp_bound == d.ClampBound.ROUNDED and scheme.bits > exact_bits:
        raise ValueError(
            f"clamp_bound is rounded, codes are computed in {computed} and qmax is {scheme.qmax}, which that dtype "
            "cannot hold; use clamp_bound exact or a wider code_dtype"
        )


def check_quant_scheme(scheme: QuantScheme) -> None:
    """What the two tensors of a layer and their product exclude."""
    if scheme.output_dtype != "model" and scheme.output_dtype not in INPUT_DTYPES:
        raise ValueError(f"output_dtype is {scheme.output_dtype!r}; use 'model' or one of {_names(INPUT_DTYPES)}")
    if scheme.product.product_operands != d.ProductOperands.CODES:
        return
    if scheme.activation is None:
        raise ValueError(
            "product_operands is codes and the activation scheme is None: a product of codes needs codes on both "
            "sides; give an activation scheme, or use dequantized operands"
        )
    for side, tensor, legal in (
        ("weight", scheme.weight, (PerTensor, PerAxis, PerRow)),
        ("activation", scheme.activation, (PerTensor, PerToken, PerRow)),
    ):
        granularity = tensor.granularity.inner if isinstance(tensor.granularity, Stacked) else tensor.granularity
        if not isinstance(granularity, legal):
            raise ValueError(
                f"product_operands is codes and the {side}'s granularity is {granularity}: an integer sum over k has "
                f"one scale a row; use one of {', '.join(g.__name__ for g in legal)}"
            )
        if tensor.zero_point_domain == ZeroPointDomain.FLOAT:
            raise ValueError(
                f"product_operands is codes and the {side}'s zero_point_domain is float: a float zero point does not "
                "enter an integer sum; use the int or none domain"
            )


def _check_grid(scheme: TensorScheme) -> None:
    if not 1 <= scheme.bits <= MAX_BITS:
        raise ValueError(f"bits is {scheme.bits}; it must be between 1 and {MAX_BITS}")
    half = 2 ** (scheme.bits - 1)
    signed = -half <= scheme.qmin <= 0 <= scheme.qmax <= half - 1
    unsigned = 0 == scheme.qmin < scheme.qmax <= 2 * half - 1
    if scheme.qmin >= scheme.qmax or not (signed or unsigned):
        raise ValueError(
            f"qmin is {scheme.qmin} and qmax is {scheme.qmax} with bits {scheme.bits}; the grid must hold zero, qmin "
            f"below qmax, and lie within [{-half}, {half - 1}] or [0, {2 * half - 1}]"
        )


def _check_mapping(scheme: TensorScheme) -> None:
    rules, mapping = scheme.rules, scheme.mapping
    if mapping != Mapping.ASYMMETRIC and not scheme.preserve_zero:
        raise ValueError(
            f"preserve_zero is False and mapping is {mapping}: a symmetric range always holds zero; "
            "use preserve_zero=True, or mapping asymmetric"
        )
    if mapping == Mapping.SYMMETRIC_NO_CLIPPING and scheme.qmax == 0:
        raise ValueError(
            "mapping is symmetric_no_clipping and qmax is 0: the positive end would be divided by zero; use "
            "mapping symmetric, or a grid with a positive qmax"
        )
    if mapping == Mapping.SYMMETRIC and rules.symmetric_scale == d.SymmetricScale.QMAX and scheme.qmax == 0:
        raise ValueError("symmetric_scale is qmax and qmax is 0: the range would be divided by zero; use half_span")
    if mapping == Mapping.SYMMETRIC and rules.symmetric_scale == d.SymmetricScale.ABS_QMIN and scheme.qmin == 0:
        raise ValueError("symmetric_scale is abs_qmin and qmin is 0: the range would be divided by zero; use half_span")
    if mapping == Mapping.SYMMETRIC_NO_CLIPPING and rules.eps_target == d.EpsTarget.RANGE:
        raise ValueError(
            "eps_target is range and mapping is symmetric_no_clipping: two ranges are divided, and eps bounds one; "
            "use eps_target scale"
        )


def _check_zero_point(scheme: TensorScheme) -> None:
    domain, dtype = scheme.zero_point_domain, scheme.zero_point_dtype
    if domain == ZeroPointDomain.NONE:
        if dtype is not None:
            raise ValueError(
                f"zero_point_domain is none and zero_point_dtype is {dtype}: there is no zero point to store; "
                "use zero_point_dtype=None, or the int domain"
            )
        if scheme.mapping == Mapping.ASYMMETRIC:
            raise ValueError(
                "zero_point_domain is none and mapping is asymmetric: an asymmetric range needs a zero point; "
                "use mapping symmetric, or the int or float domain"
            )
        if int(scheme.midpoint) != 0:
            raise ValueError(
                f"zero_point_domain is none and the grid is [{scheme.qmin}, {scheme.qmax}]: without a zero point the "
                "grid must be centred on zero; use a signed grid"
            )
        return
    if dtype is None:
        raise ValueError(f"zero_point_dtype is None and zero_point_domain is {domain}; name the dtype that stores it")
    if dtype != "model" and dtype not in INTEGER_DTYPES + INPUT_DTYPES:
        legal = _names(INTEGER_DTYPES + INPUT_DTYPES)
        raise ValueError(f"zero_point_dtype is {dtype!r}; use 'model' or one of {legal}")
    if domain == ZeroPointDomain.FLOAT:
        if scheme.mapping != Mapping.ASYMMETRIC:
            raise ValueError(
                f"zero_point_domain is float and mapping is {scheme.mapping}: a float zero point places an asymmetric "
                "range; use mapping asymmetric, or the int domain"
            )
        if dtype in INTEGER_DTYPES and scheme.rules.refuse_lossy:
            raise ValueError(
                f"zero_point_domain is float and zero_point_dtype is {dtype}: a float zero point is a value and an "
                "integer dtype would cut its fraction; use 'model' or a floating dtype"
            )
    elif dtype in INTEGER_DTYPES and scheme.rules.refuse_lossy:
        _check_zero_point_fits(scheme, dtype)


def _check_zero_point_fits(scheme: TensorScheme, dtype: torch.dtype | str | None) -> None:
    assert isinstance(dtype, torch.dtype)
    constant = int(scheme.midpoint)
    low, high = (scheme.qmin, scheme.qmax) if scheme.mapping == Mapping.ASYMMETRIC else (constant, constant)
    low -= scheme.rules.zero_point_offset == d.ZeroPointOffset.MINUS_ONE
    limits = torch.iinfo(dtype)
    if low < limits.min or high > limits.max:
        raise ValueError(
            f"zero_point_dtype is {dtype} and zero points lie in [{low}, {high}]: it holds only "
            f"[{limits.min}, {limits.max}]; use a wider dtype"
        )


def _check_rules(scheme: TensorScheme) -> None:
    rules, domain = scheme.rules, scheme.zero_point_domain
    if domain != ZeroPointDomain.FLOAT and rules.rescale_fusion != d.RescaleFusion.TWO_ROUNDINGS:
        raise ValueError(
            f"rescale_fusion is {rules.rescale_fusion} and zero_point_domain is {domain}: only the float domain adds a "
            "zero point after the multiplication; use two_roundings"
        )
    if domain != ZeroPointDomain.INT and rules.zero_point_add == d.ZeroPointAdd.BEFORE_ROUND_FMA:
        raise ValueError(
            f"zero_point_add is before_round_fma and zero_point_domain is {domain}: only the int domain adds an "
            "integer zero point to the quotient; use after_round"
        )
    if domain != ZeroPointDomain.INT and rules.zero_point_offset != d.ZeroPointOffset.NONE:
        raise ValueError(
            f"zero_point_offset is {rules.zero_point_offset} and zero_point_domain is {domain}: only an integer zero "
            "point is stored less one; use the int domain, or zero_point_offset none"
        )


def _names(dtypes: tuple[torch.dtype, ...]) -> str:
    return ", ".join(str(dtype).removeprefix("torch.") for dtype in dtypes)
