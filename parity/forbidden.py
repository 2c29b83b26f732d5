"""Which points of the matrix have no meaning: a table of combinations of concrete values, never quant's own checks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from parity.axes import ATEN_CPU, ATEN_CUDA, CODE_SUMS, FLOATS, INTEGERS, MULTIPLYING, NARROW, PACKINGS


@dataclass(frozen=True, slots=True, kw_only=True)
class Forbidden:
    """A combination of concrete values without meaning: every named axis at one of the listed values."""

    where: Mapping[str, tuple[str, ...]]
    reason: str

    def holds(self, point: Mapping[str, str]) -> bool:
        """Whether a point of concrete values is such a combination."""
        return all(point[axis] in values for axis, values in self.where.items())


_FLOAT_ONLY = (*ATEN_CPU, *ATEN_CUDA)
_ONE_DTYPE = (*_FLOAT_ONLY, "xpu_int4")
_FORBIDDEN_PACKINGS: Final = (
    Forbidden(where={"packing": PACKINGS, "bits": ("1", "2", "3", "5", "6", "7", "8")}, reason="nibbles hold 4 bits"),
    *(
        Forbidden(
            where={"packing": _ONE_DTYPE, "dtype": (dtype,), axis: tuple(d for d in types if d != dtype)},
            reason="the kernel reads scale and zero point in the weight's dtype",
        )
        for dtype in FLOATS
        for axis, types in (("scale", (*FLOATS, "fp64")), ("zp", FLOATS))
    ),
    Forbidden(
        where={"packing": _ONE_DTYPE, "scale": NARROW},
        reason="the kernel reads scale and zero point in the weight's dtype",
    ),
    Forbidden(where={"packing": _FLOAT_ONLY, "domain": ("int", "none")}, reason="the kernel adds a zero point's value"),
    Forbidden(
        where={"packing": _ONE_DTYPE, "domain": ("float",), "pz": ("yes",)},
        reason="the kernel's float zero point places a range that need not hold zero",
    ),
    Forbidden(where={"packing": ("xpu_int4",), "domain": ("none",)}, reason="the kernel subtracts a zero point"),
    Forbidden(
        where={
            "packing": ("xpu_int4",),
            "domain": ("int",),
            "zp": ("uint8", "int16", "int32", "int64", *FLOATS, "model"),
        },
        reason="the kernel reads an int8 zero point",
    ),
    Forbidden(
        where={"packing": ("xpu_int4",), "domain": ("int",), "pz": ("no",)}, reason="the kernel's integers hold zero"
    ),
    Forbidden(where={"packing": ("xpu_int4",), "dtype": ("fp32",)}, reason="the kernel is of 16 bits"),
    Forbidden(where={"packing": ATEN_CUDA, "dtype": ("fp32", "fp16")}, reason="the kernel is of bf16"),
    Forbidden(
        where={"packing": _FLOAT_ONLY, "group": ("16", "channel", "tensor", "row", "block")},
        reason="the kernel's groups are of 32, 64, 128 or 256",
    ),
    Forbidden(
        where={"packing": ("xpu_int4",), "group": ("channel", "tensor", "row", "block")},
        reason="the kernel reads groups",
    ),
    Forbidden(where={"packing": ATEN_CPU, "shape": ("5x64", "8x192", "4x48")}, reason="rows in multiples of 16"),
    Forbidden(where={"packing": ATEN_CUDA, "shape": ("5x64", "4x48")}, reason="rows in multiples of 8"),
)

_OF_INTEGERS: Final = ("symmetric", "no_clipping", "asymmetric")
_CODES: Final = {"accumulate": CODE_SUMS, "op": MULTIPLYING}
_PROPAGATED: Final = {"op": ("matmul",), "propagation": ("propagate",)}
_FORBIDDEN_PRODUCTS: Final = (
    Forbidden(where={**_CODES, "act": ("none",), "op": ("linear",)}, reason="codes are multiplied with codes"),
    Forbidden(
        where={**_CODES, "group": ("16", "32", "64", "block")}, reason="scales along k do not leave a sum of codes"
    ),
    Forbidden(
        where={**_CODES, "group": ("channel",), "op": ("matmul",)},
        reason="of two tensors, the scales' axis may be summed",
    ),
    Forbidden(where={**_CODES, "domain": ("float",)}, reason="a float zero point enters no sum of codes"),
    Forbidden(where={**_CODES, "mapping": ("stretched",)}, reason="the zero point -1/2 enters no sum of codes"),
    Forbidden(
        where={**_PROPAGATED, "group": ("16", "32", "block"), "shape": ("5x64", "8x192", "4x48")},
        reason="the product's columns do not divide into groups",
    ),
    Forbidden(where={**_PROPAGATED, "group": ("64",)}, reason="the product's columns do not divide into groups"),
)

# The weight's grid is signed under INT and NONE, 0 .. 2**bits - 1 under FLOAT, and one of halves when stretched.
FORBIDDEN: Final = (
    Forbidden(
        where={"mapping": ("symmetric", "no_clipping", "stretched"), "pz": ("no",)},
        reason="a symmetric range holds zero",
    ),
    Forbidden(
        where={"mapping": ("symmetric", "no_clipping", "stretched"), "domain": ("float",)},
        reason="a float zero point places an asymmetric range",
    ),
    Forbidden(where={"mapping": ("asymmetric",), "domain": ("none",)}, reason="an asymmetric range needs a zero point"),
    Forbidden(
        where={"mapping": ("stretched",), "domain": ("none",)}, reason="a grid of halves has the zero point -1/2"
    ),
    Forbidden(where={"mapping": ("stretched",), "zp": INTEGERS}, reason="an integer dtype cuts the zero point -1/2"),
    Forbidden(where={"domain": ("none",), "zp": (*INTEGERS, *FLOATS)}, reason="no zero point, hence no dtype of one"),
    Forbidden(where={"domain": ("float",), "zp": INTEGERS}, reason="an integer dtype cuts a float zero point"),
    Forbidden(where={"mapping": ("no_clipping",), "bits": ("1",)}, reason="the grid [-1, 0] has no positive end"),
    Forbidden(
        where={"domain": ("int",), "mapping": ("asymmetric",), "zp": ("uint8",)},
        reason="uint8 holds no negative zero point",
    ),
    Forbidden(where={"mapping": ("stretched",), "scale": ("two_level",)}, reason="tables of halves have one level"),
    Forbidden(where={"scale": ("fp16",), "eps": ("2**-126",)}, reason="eps rounds to zero in fp16"),
    Forbidden(
        where={
            "ascale": ("fp16",),
            "aeps": ("2**-126",),
            "act": ("asymmetric", "symmetric", "static", "learned", "tensor"),
            "op": ("linear",),
        },
        reason="eps rounds to zero in fp16",
    ),
    Forbidden(
        where={
            "preset": ("burn_3042",),
            "bits": ("1",),
            "domain": ("int", "none"),
            "mapping": _OF_INTEGERS,
        },
        reason="a grid of one bit with as many negative codes as positive ones holds zero alone",
    ),
    Forbidden(
        where={"preset": ("burn_3042",), "packing": PACKINGS, "domain": ("int", "none"), "mapping": _OF_INTEGERS},
        reason="nibbles hold 4 bits",
    ),
    *_FORBIDDEN_PACKINGS,
    *_FORBIDDEN_PRODUCTS,
    Forbidden(where={"shape": ("4x48",), "group": ("32", "64")}, reason="48 columns do not divide into groups"),
    Forbidden(where={"shape": ("5x64",), "group": ("block",)}, reason="5 rows do not divide into blocks of two"),
)
