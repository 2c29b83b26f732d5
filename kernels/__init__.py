"""How a device computes: tensors and numbers in, tensors out, every rounding stated; no scheme is known here.

Each operation has one plain-torch reference, re-exported below; other versions stand beside it and are bit-equal to it.
"""

from kernels.code_product import code_product
from kernels.divide import divide, divide_by_reciprocal, reciprocal
from kernels.exact_product import Product, exact_product
from kernels.flush import flush
from kernels.fma import fma
from kernels.narrow import narrow
from kernels.round_to_odd import round_to_odd
from kernels.rounding import half_away, half_away_by_adding, half_even, half_up, truncate
from kernels.sequential_product import sequential_product
from kernels.tf32 import round_to_tf32

__all__ = [
    "Product",
    "code_product",
    "divide",
    "divide_by_reciprocal",
    "exact_product",
    "flush",
    "fma",
    "half_away",
    "half_away_by_adding",
    "half_even",
    "half_up",
    "narrow",
    "reciprocal",
    "round_to_odd",
    "round_to_tf32",
    "sequential_product",
    "truncate",
]
