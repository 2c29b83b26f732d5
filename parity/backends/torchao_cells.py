"""On which cells torchao's lanes take part: what its public flows have no word for, as a table over axis values.

A torchao lane carries out the cell's scheme under the rule set `torchao`, so "preset" on the axes scale, ascale, eps
and aeps is what torchao does when its config says None: the model's dtype, and that dtype's smallest normal. Written
from torchao's configs and modules, not from the code that refuses schemes (torchao_gaps); a suite holds the two
against each other.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from types import MappingProxyType
from typing import Final

from parity.axes import AXES, BURN_PRESETS, CODE_SUMS, NARROW, OPERATIONS, PACKINGS, PRESET, PRESETS
from parity.cells import Cell, zero_point_dtype
from parity.forbidden import Forbidden
from parity.lanes import Flow

TORCHAO: Final = "torchao"
LEGACY: Final = "torchao_8da4w"
# The rule set that TORCHAO follows on CUDA.
TORCHAO_CUDA: Final = "torchao_cuda"

# Axes on which a preset leaves the choice to the rule set; elsewhere parity.axes.PRESETS holds under any rules.
_CHOSEN_BY_RULES: Final[Mapping[str, tuple[str, ...]]] = MappingProxyType(
    {
        "int8_dynamic_intx_weight": ("scale", "ascale", "eps", "aeps"),
        "intx_weight_only": ("scale", "ascale", "eps", "aeps"),
        "int8_dynamic_int4_weight": ("scale", "eps"),
        "xnnpack_recipe": (),
        "int4_weight_only": ("scale", "ascale", "aeps"),
        "stretched_intx_weight_only": ("scale", "ascale", "eps", "aeps"),
        "int4_weight_only_embedding": ("ascale", "eps", "aeps"),
    }
)
_OWN_CHOICE: Final = MappingProxyType(
    {"scale": "model", "ascale": "model", "eps": "input_normal", "aeps": "input_normal"}
)

# Numbers that an eps stands for, by the dtype it is taken from.
_SMALLEST_NORMAL: Final = MappingProxyType({"fp32": "2**-126", "bf16": "2**-126", "fp16": "2**-14"})
_MACHINE_EPS: Final = MappingProxyType({"fp32": "2**-23", "bf16": "2**-7", "fp16": "2**-10"})

_STORING: Final = (Flow.PTQ.value, Flow.QAT_CONVERT.value)
_TRAINING: Final = (Flow.QAT_PREPARE.value, Flow.QAT_CONVERT.value)
_DYNAMIC: Final = MappingProxyType({"op": ("linear",), "act": ("asymmetric",)})

# Beside the axes, a point has backend and flow. Its eps and aeps are "own" (the smallest normal of the model's dtype),
# "2**-23" or "other", its ascale is "model" or a dtype that is not the model's, and a float zp of the scale's own dtype
# is "of_scale".
GAPS: Final = (
    Forbidden(where={"op": OPERATIONS}, reason="its quantized tensors are operands of layers"),
    Forbidden(where={"preset": BURN_PRESETS}, reason="Burn's schemes are compared among Burn's rule sets"),
    Forbidden(where={"accumulate": ("native", "exact", *CODE_SUMS)}, reason="its kernels sum as they do"),
    Forbidden(where={"scale": NARROW}, reason="affine scales have one level, and 16 bits or more"),
    Forbidden(where={"domain": ("none",)}, reason="there is always a zero point"),
    Forbidden(where={"domain": ("float",), "flow": _STORING}, reason="stored zero points are integers"),
    Forbidden(where={"domain": ("float",), "backend": (LEGACY,)}, reason="zero points of 8da4w are integers"),
    Forbidden(where={"domain": ("int",), "pz": ("no",)}, reason="every range is widened to hold zero"),
    Forbidden(where={"domain": ("float",), "pz": ("yes",)}, reason="the float domain takes a range as it is"),
    Forbidden(
        where={"zp": ("uint8", "int16", "int32", "int64", "fp32", "bf16", "fp16")},
        reason="zero points are int8, in the float domain of the scale's dtype",
    ),
    Forbidden(where={"group": ("tensor", "row", "block")}, reason="weights are scaled per group or per output channel"),
    Forbidden(where={"op": ("linear",), "act": ("symmetric", "tensor")}, reason="activations are asymmetric"),
    Forbidden(where={"op": ("linear",), "act": ("static", "learned")}, reason="activations have a scale a token"),
    Forbidden(
        where={"backend": (TORCHAO,), "flow": _TRAINING, "mapping": ("no_clipping",)},
        reason="the fake quantizer knows symmetric and asymmetric",
    ),
    Forbidden(
        where={"backend": (TORCHAO,), "steps": ("1", "3"), "mapping": ("no_clipping",)},
        reason="nothing trains what cannot be prepared",
    ),
    Forbidden(
        where={"backend": (TORCHAO,), "flow": _STORING, "steps": ("1", "3"), "mapping": ("asymmetric",)},
        reason="asymmetric weights are trained through another scheme",
    ),
    Forbidden(
        where={"backend": (TORCHAO,), "flow": _STORING, "scale": ("fp64",)},
        reason="the quantized tensor holds no float64 scale",
    ),
    Forbidden(
        where={"backend": (TORCHAO,), "flow": _STORING, "eps": ("2**-23", "other")},
        reason="the PTQ configs have no eps for the weight",
    ),
    Forbidden(
        where={"backend": (TORCHAO,), "flow": _STORING, "ascale": ("fp32", "bf16", "fp16", "fp64"), **_DYNAMIC},
        reason="the PTQ configs have no dtype for the activation's scale",
    ),
    Forbidden(
        where={"backend": (TORCHAO,), "flow": _STORING, "aeps": ("2**-23", "other"), **_DYNAMIC},
        reason="the PTQ configs have no eps for the activation",
    ),
    Forbidden(where={"backend": (LEGACY,), "flow": (Flow.PTQ.value,)}, reason="the QAT quantizer has no PTQ"),
    Forbidden(where={"backend": (LEGACY,), "op": ("linear",), "act": ("none",)}, reason="activations are quantized"),
    Forbidden(
        where={"backend": (LEGACY,), "bits": ("1", "2", "3", "5", "6", "7", "8")}, reason="weights have four bits"
    ),
    Forbidden(where={"packing": PACKINGS}, reason="its layouts are read by kernels of other machines"),
    Forbidden(where={"backend": (TORCHAO,), "mapping": ("stretched",)}, reason="grids are those of int1 to int8"),
    Forbidden(
        where={"backend": (LEGACY,), "mapping": ("no_clipping", "asymmetric", "stretched")},
        reason="weights are mapped symmetrically",
    ),
    Forbidden(
        where={"backend": (LEGACY,), "eps": ("2**-23", "other")}, reason="the QAT quantizer has no eps for the weight"
    ),
    Forbidden(
        where={"backend": (LEGACY,), "ascale": ("bf16", "fp16", "fp64"), **_DYNAMIC},
        reason="the activation's scale is float32",
    ),
    Forbidden(where={"backend": (LEGACY,), "aeps": ("other",), **_DYNAMIC}, reason="the activation's eps is 2**-23"),
    Forbidden(
        where={"backend": (LEGACY,), "flow": (Flow.QAT_CONVERT.value,), "layout": ("transposed",)},
        reason="a transposed weight is laid out anew, and torch sums the products of other strides in another order",
    ),
)


def inexpressible(cell: Cell, backend: str, flow: Flow) -> str | None:
    """Why a torchao backend ("torchao" or "torchao_8da4w") has no counterpart of a legal cell in this flow, or None."""
    point = point_of(cell) | {"backend": backend, "flow": flow.value}
    return next((gap.reason for gap in GAPS if gap.holds(point)), None)


def hard_coded(cell: Cell) -> bool:
    """Whether the legacy quantizer puts float32 and 2**-23 where the cell leaves the activation to torchao.

    There it carries out another scheme than the engine under the rules `torchao`, which put the model's dtype and its
    smallest normal; the cell then holds torchao's two 8da4w against each other, and neither against the engine.
    """
    point = point_of(cell)
    dynamic = all(point[axis] in values for axis, values in _DYNAMIC.items())
    return dynamic and (point["aeps"] == "own" or (point["ascale"] == "model" and point["dtype"] != "fp32"))


@lru_cache(maxsize=65536)
def point_of(cell: Cell) -> dict[str, str]:
    """Every axis at a value that means one thing to torchao."""
    point = dict(zip(AXES, cell.values, strict=True))
    for axis, value in point.items():
        if value == PRESET and axis in _CHOSEN_BY_RULES.get(cell["preset"], ()):
            point[axis] = _OWN_CHOICE[axis]
        elif value == PRESET and axis not in ("zp", "accumulate"):
            point[axis] = PRESETS[cell["preset"]][axis]
    if point["zp"] == PRESET:
        point["zp"] = zero_point_dtype(point["mapping"], point["domain"])
    dtype = point["dtype"]
    for scale, eps in (("scale", "eps"), ("ascale", "aeps")):
        stored = dtype if point[scale] == "model" else point[scale]
        point[eps] = _eps(point[eps], dtype, stored)
        point[scale] = "model" if stored == dtype else stored
    if point["domain"] == "float":
        own = {"model": dtype}
        zero_point = own.get(point["zp"], point["zp"])
        point["zp"] = "of_scale" if zero_point == own.get(point["scale"], point["scale"]) else zero_point
    return point


def _eps(name: str, dtype: str, scale: str) -> str:
    """What an eps is to torchao; see GAPS."""
    narrower = "fp16" if scale == "fp16" else dtype  # the scale is computed in the model's dtype
    number = {
        "normal": _SMALLEST_NORMAL[narrower],
        "input_normal": _SMALLEST_NORMAL[dtype],
        "input_eps": _MACHINE_EPS[dtype],
        "f32eps": "2**-23",
    }.get(name, name)
    if number == _SMALLEST_NORMAL[dtype]:
        return "own"
    return number if number == "2**-23" else "other"
