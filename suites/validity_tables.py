"""torchao's validity tables as data: which combinations its primitives, tensors and configs take, and which we take."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from typing import Final

import torch

from quant import Mapping, ZeroPointDomain

OK: Final = ""  # in place of the beginning of a refusal
SYMMETRIC_MAPPINGS: Final = (Mapping.SYMMETRIC, Mapping.SYMMETRIC_NO_CLIPPING)
MAPPINGS: Final = (*SYMMETRIC_MAPPINGS, Mapping.ASYMMETRIC)
INT, FLOAT, NONE = ZeroPointDomain.INT, ZeroPointDomain.FLOAT, ZeroPointDomain.NONE
ZERO_POINTS: Final = (None, torch.int32, torch.float32)


@dataclass(frozen=True, slots=True, kw_only=True)
class Combination:
    """One of the 54 of choose_qparams in April 2025: what it did, and the beginning of what our schemes say."""

    mapping: Mapping
    domain: ZeroPointDomain
    preserve_zero: bool
    zero_point_dtype: torch.dtype | None
    legal_then: bool
    refusal: str
    refusal_of_engine: str


def _combination(
    mapping: Mapping, domain: ZeroPointDomain, preserve_zero: bool, zero_point: torch.dtype | None
) -> Combination:
    symmetric = mapping in SYMMETRIC_MAPPINGS
    then = not symmetric or (preserve_zero and domain is not FLOAT)
    refusal = OK
    if symmetric and not preserve_zero:
        refusal = "preserve_zero is False and mapping is"
    elif domain is NONE and zero_point is not None:
        refusal = "zero_point_domain is none and zero_point_dtype is"
    elif domain is NONE and not symmetric:
        refusal = "zero_point_domain is none and mapping is asymmetric"
    elif domain is not NONE and zero_point is None:
        refusal = "zero_point_dtype is None and zero_point_domain is"  # torchao inferred one
    elif domain is FLOAT and symmetric:
        refusal = "zero_point_domain is float and mapping is"
    cuts = domain is FLOAT and zero_point is torch.int32
    engine = refusal or ("zero_point_domain is float and zero_point_dtype is torch.int32" if cuts else OK)
    return Combination(
        mapping=mapping,
        domain=domain,
        preserve_zero=preserve_zero,
        zero_point_dtype=zero_point,
        legal_then=then,
        refusal=refusal,
        refusal_of_engine=engine,
    )


COMBINATIONS: Final = tuple(
    _combination(*point) for point in product(MAPPINGS, (INT, FLOAT, NONE), (True, False), ZERO_POINTS)
)

# (function of torchao 0.18, mapping) -> whether it chooses qparams; every zero-point dtype of ZERO_POINTS alike.
CHOOSERS: Final = {
    **{("choose_qparams_affine", mapping): True for mapping in MAPPINGS},
    **{("_choose_qparams_affine_tinygemm", mapping): mapping is Mapping.ASYMMETRIC for mapping in MAPPINGS},
    **{("_choose_qparams_affine_dont_preserve_zero", mapping): mapping is Mapping.ASYMMETRIC for mapping in MAPPINGS},
}
# (function, whether it is handed a zero point) -> the exception, or None.
READERS: Final = {
    ("quantize_affine", True): None,
    ("quantize_affine", False): TypeError,
    ("dequantize_affine", True): None,
    ("dequantize_affine", False): None,
    ("_quantize_affine_tinygemm", True): None,
    ("_quantize_affine_tinygemm", False): TypeError,
    ("_dequantize_affine_tinygemm", True): None,
    ("_dequantize_affine_tinygemm", False): None,
    ("_quantize_affine_no_zero_point", True): None,
    ("_quantize_affine_no_zero_point", False): None,
    ("_dequantize_affine_no_zero_point", True): AssertionError,
    ("_dequantize_affine_no_zero_point", False): None,
}
GROUPWISE: Final = {INT: None, FLOAT: None, NONE: ValueError}

# IntxUnpackedToInt8Tensor: the dtypes that it holds.
FLOATS: Final = (torch.float32, torch.bfloat16, torch.float16)
HELD_SCALES: Final = {torch.float64: False, torch.int8: False, **dict.fromkeys(FLOATS, True)}
HELD_ZERO_POINTS: Final = {
    torch.int8: True,
    **dict.fromkeys(FLOATS, True),
    **dict.fromkeys((torch.uint8, torch.int16, torch.int32, torch.float64), False),
}

# IntxFakeQuantizeConfig: what it takes, one axis at a time; a combination is legal where all of its parts are.
CONFIG_DTYPES: Final = {
    **{f"int{bits}": True for bits in range(1, 9)},
    **{f"uint{bits}": True for bits in range(1, 9)},
    **{"int16": False, "int32": False, "float32": False},
}
CONFIG_GRANULARITIES: Final = {
    **{"PerToken": True, "PerAxis(0)": True, "PerGroup(32)": True},
    **{"PerAxis(1)": False, "PerTensor": False, "PerRow": False},
}
CONFIG_MAPPINGS: Final = {
    Mapping.SYMMETRIC: True,
    Mapping.SYMMETRIC_NO_CLIPPING: False,
    Mapping.ASYMMETRIC: True,
}
# (is_dynamic, range_learning)
CONFIG_LEARNING: Final = {(True, False): True, (True, True): False, (False, False): True, (False, True): True}
