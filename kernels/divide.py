"""divide(a, b) = R_d(a / b) on every device, eager or compiled: a float32 quotient is the IEEE one.

Compiled GPU code may divide float32 to about two ulp, and CUDA eager multiplies a tensor by the reciprocal of a scalar.
So scalars become tensors here, and compiled float32 quotients go through float64: a quotient of two 24-bit numbers is
never close enough to a tie for the second rounding to show (53 >= 2 * 24 + 2, Figueroa, "When is double rounding
innocuous?", 1995). 16-bit dtypes follow torch: the float32 quotient, then one rounding to the dtype.
"""

import torch
from torch import Tensor

from kernels.narrow import narrow
from kernels.round_to_odd import add_to_odd


def divide(a: Tensor, b: Tensor | float) -> Tensor:
    """divide(a, b) = R_d(a / b), d being the dtype that `a` and `b` share; for 16 bits R_d(R_float32(a / b)).

    Shapes broadcast. A Python number `b` enters in the dtype the operation computes in: float64 for float64 tensors,
    float32 for all others. Raises ValueError when the dtypes of `a` and `b` differ.
    """
    if isinstance(b, Tensor) and b.dtype is not a.dtype:
        raise ValueError(f"a is {a.dtype} and b is {b.dtype}, but divide works in one dtype: cast one of them first.")
    wide = _computes_in(a.dtype)
    divisor = b.to(a.device, wide) if isinstance(b, Tensor) else torch.full((), b, dtype=wide, device=a.device)
    if wide is torch.float32 and torch.compiler.is_compiling() and a.device.type != "cpu":
        quotient = narrow(a.to(torch.float64) / divisor.to(torch.float64), torch.float32)
    else:
        quotient = a.to(wide) / divisor
    return narrow(quotient, a.dtype)


def reciprocal(t: Tensor) -> Tensor:
    """reciprocal(t) = R_d(1 / t) in t's dtype d, rounded as `divide` rounds."""
    return divide(torch.ones((), dtype=t.dtype, device=t.device), t)


def reciprocal_to_odd(t: Tensor) -> Tensor:
    """reciprocal_to_odd(t) = odd_53(1 / t) of float64 `t`, which narrow then rounds to any narrower dtype only once.

    For |t| from 2^-996 to 2^996; beyond, the last bit may be R(1 / t)'s. Zero, infinity and NaN are as in 1 / t.
    """
    q = t.reciprocal()
    product = q * t
    (q_high, q_low), (t_high, t_low) = _halves(q), _halves(t)
    lost = q_low * t_low - (((product - q_high * t_high) - q_low * t_high) - q_high * t_low)  # Dekker 1971
    rest = (1.0 - product) - lost  # 1 - q * t exactly, which is a float64 for a correctly rounded q
    return torch.where(rest.isfinite(), add_to_odd(q, rest * q), q)


def divide_to_odd(a: Tensor, n: int) -> Tensor:
    """divide_to_odd(a, n) = odd_53(a / n) of finite float64 `a` that are 0 or from 2^-900 up, 1 <= n <= 2^26."""
    q = a / n
    product = q * n
    high, low = _halves(q)
    lost = low * n - (product - high * n)  # both products are exact: n is no longer than a half
    rest = (a - product) - lost
    return add_to_odd(q, rest / n)


def divide_by_reciprocal(a: Tensor, c: float) -> Tensor:
    """divide_by_reciprocal(a, c) = R_d(a * R_p(1 / R_p(c))), p being float64 for float64 tensors and float32 otherwise.

    What CUDA eager computes for `tensor / python_scalar` (ATen's div_true_kernel_cuda): two roundings in p, where
    `divide(a, c)` has one.
    """
    wide = _computes_in(a.dtype)
    inverse = reciprocal(torch.full((), c, dtype=wide, device=a.device))
    return narrow(a.to(wide) * inverse, a.dtype)


def _halves(t: Tensor) -> tuple[Tensor, Tensor]:
    """t as a sum of two numbers of 26 bits, whose products are exact (Veltkamp)."""
    scaled = (2.0**27 + 1) * t
    high = scaled - (scaled - t)
    return high, t - high


def _computes_in(dtype: torch.dtype) -> torch.dtype:
    return torch.float64 if dtype is torch.float64 else torch.float32
