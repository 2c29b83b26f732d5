"""The dimensions of the matrix and their values: data, never computed by quant's checks.

An axis value "preset" means what the cell's preset says; PRESETS spells that out, so that legality is decided on
concrete values alone.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

PRESET: Final = "preset"
SYNTHETIC: Final = "synthetic"
FLOATS: Final = ("fp32", "bf16", "fp16")
SCALES: Final = ("model", "fp32", "bf16", "fp16", "fp64")
# Scales of eight bits, rounded up: each as it is, or over one fp32 scale of the tensor. They have cells of their own.
NARROW: Final = ("ue4m3", "two_level")
INTEGERS: Final = ("int8", "uint8", "int16", "int32", "int64")
# eps: smallest normal of the stored scale's dtype, of the tensor's; eps of the tensor's dtype; 2**-23; 2**-7; a number.
EPSES: Final = ("normal", "input_normal", "input_eps", "f32eps", "bf16eps", "1e-3")
FAMILIES: Final = (
    "directed",
    "random",
    "ties",
    "eps_edge",
    "outlier",
    "one_sided",
    "zeros",
    "subnormal",
    "huge",
    "integers",
    "specials",
)


# Layers, and operations of two quantized tensors of the weight's scheme: a product, a sum, an operation that always
# quantizes anew, and one that moves codes.
LAYERS: Final = ("linear", "embedding")
OPERATIONS: Final = ("matmul", "add", "abs", "flip")
MULTIPLYING: Final = ("linear", "matmul")
# Accumulators that sum products of codes; the others sum products of values.
CODE_SUMS: Final = ("full", "half", "int32")
# Schemes of Burn, whose rule sets are compared with one another; all others are schemes of a layer.
BURN_PRESETS: Final = ("burn_3042", "burn_head")

# Layouts of 4-bit codes. What reads ATen's and XPU's bytes takes scale, zero point and weight in one dtype.
NIBBLES: Final = ("nibbles", "nibbles_high")
ATEN_CPU: Final = ("cpu_int4_avx512", "cpu_int4_avx2", "cpu_int4_scalar")
ATEN_CUDA: Final = ("cuda_tiled_2", "cuda_tiled_4")
PACKINGS: Final = (*NIBBLES, *ATEN_CPU, *ATEN_CUDA, "xpu_int4")


@dataclass(frozen=True, slots=True, kw_only=True)
class Axis:
    """One dimension: its values, the default that ids leave out, and what it means.

    An open axis takes, beside the values listed, every text that `pattern` matches whole.
    """

    name: str
    default: str
    values: tuple[str, ...]
    meaning: str
    pattern: str = ""

    def takes(self, value: str) -> bool:
        """Whether a cell may have this value."""
        return value in self.values or (self.pattern != "" and re.fullmatch(self.pattern, value) is not None)


AXES: Final[Mapping[str, Axis]] = MappingProxyType(
    {
        axis.name: axis
        for axis in (
            Axis(
                name="preset",
                default="int8_dynamic_intx_weight",
                values=(
                    "int8_dynamic_intx_weight",
                    "intx_weight_only",
                    "int8_dynamic_int4_weight",
                    "xnnpack_recipe",
                    "int4_weight_only",
                    "stretched_intx_weight_only",
                    "int4_weight_only_embedding",
                    *BURN_PRESETS,
                ),
                meaning="the named scheme that every other axis starts from",
            ),
            Axis(
                name="op",
                default="linear",
                values=(*LAYERS, *OPERATIONS),
                meaning="the layer; or what is computed of quantized tensors, a weight and an input of one scheme",
            ),
            Axis(name="dtype", default="fp32", values=FLOATS, meaning="dtype of weight and input"),
            Axis(
                name="scale",
                default=PRESET,
                values=(PRESET, *SCALES, *NARROW),
                meaning="dtype of the stored weight scale, which has eight bits in ue4m3 and below one of the tensor",
            ),
            Axis(name="ascale", default=PRESET, values=(PRESET, *SCALES), meaning="dtype of the activation scale"),
            Axis(
                name="domain",
                default=PRESET,
                values=(PRESET, "int", "float", "none"),
                meaning="zero-point domain of the weight",
            ),
            Axis(
                name="zp",
                default=PRESET,
                values=(PRESET, *INTEGERS, *FLOATS),
                meaning="dtype of the weight's zero point",
            ),
            Axis(name="pz", default=PRESET, values=(PRESET, "yes", "no"), meaning="preserve_zero of the weight"),
            Axis(name="eps", default=PRESET, values=(PRESET, *EPSES), meaning="eps of the weight"),
            Axis(name="aeps", default=PRESET, values=(PRESET, *EPSES), meaning="eps of the activation"),
            Axis(
                name="bits",
                default=PRESET,
                values=(PRESET, "1", "2", "3", "4", "5", "6", "7", "8"),
                meaning="bits of the weight's codes",
            ),
            Axis(
                name="group",
                default=PRESET,
                values=(PRESET, "16", "32", "64", "channel", "tensor", "row", "block"),
                meaning="who shares a weight scale (Burn's level): groups of 16, 32, 64, channel, all, row, 2x16 block",
            ),
            Axis(
                name="mapping",
                default=PRESET,
                values=(PRESET, "symmetric", "no_clipping", "asymmetric", "stretched"),
                meaning="mapping of the weight",
            ),
            Axis(
                name="act",
                default=PRESET,
                values=(PRESET, "none", "asymmetric", "symmetric", "static", "learned", "tensor"),
                meaning="int8 activations per token, one asymmetric scale calibrated beforehand or learned, one "
                "symmetric scale of the whole input, or none",
            ),
            Axis(
                name="packing",
                default="none",
                values=("none", *PACKINGS),
                meaning="the bytes in which a quantized layer keeps its 4-bit codes, or one integer a code",
            ),
            Axis(
                name="accumulate",
                default=PRESET,
                values=(PRESET, "native", "exact", *CODE_SUMS),
                meaning="what sums a product: of values the library or exactly; of codes fp32 or fp16 one by one, then "
                "through fp16 (Burn's full and half), or int32",
            ),
            Axis(
                name="propagation",
                default="inhibit",
                values=("inhibit", "propagate"),
                meaning="whether what is computed of quantized tensors is quantized again; layers return floats",
            ),
            Axis(name="bias", default="yes", values=("yes", "no"), meaning="whether the linear layer has a bias"),
            Axis(name="rank", default="2", values=("1", "2", "3", "4"), meaning="dimensions of the input"),
            Axis(
                name="shape",
                default="32x64",
                values=("32x64", "5x64", "8x192", "4x48"),
                meaning="rows x columns of the weight; 48 does not divide into groups of 32",
            ),
            Axis(name="family", default="directed", values=FAMILIES, meaning="what the inputs aim at"),
            Axis(
                name="case",
                default="0",
                values=tuple(str(i) for i in range(64)),
                meaning="which draw of the family: another seed",
            ),
            Axis(
                name="layout",
                default="contiguous",
                values=("contiguous", "transposed", "sliced", "offset", "expanded"),
                meaning="strides of weight and input",
            ),
            Axis(name="steps", default="0", values=("0", "1", "3"), meaning="training steps before convert"),
            Axis(
                name="grad",
                default="no",
                values=("no", "yes"),
                meaning="whether the gradients of input and weight are stages of prepare",
            ),
            Axis(name="threads", default="1", values=("1", "2"), meaning="torch threads"),
            Axis(name="device", default="cpu", values=("cpu", "cuda", "xpu", "mps"), meaning="where lanes run"),
            Axis(
                name="layer",
                default=SYNTHETIC,
                values=(SYNTHETIC,),
                pattern="[A-Za-z0-9_.-]+",
                meaning="a layer of the weights file, or inputs made from the cell's id",
            ),
        )
    }
)

_EXACT = {"accumulate": "exact"}
_DYNAMIC = _EXACT | {"act": "asymmetric", "mapping": "symmetric", "domain": "int", "pz": "yes"}
_BURN = _DYNAMIC | {"domain": "none", "bits": "8", "group": "tensor", "eps": "normal"}
# What "preset" means on each axis, for the engine's rules; "" = the axis does not act.
PRESETS: Final[Mapping[str, Mapping[str, str]]] = MappingProxyType(
    {
        "int8_dynamic_intx_weight": _DYNAMIC
        | {"bits": "4", "group": "32", "scale": "fp32", "ascale": "fp32", "eps": "normal", "aeps": "normal"},
        "intx_weight_only": _DYNAMIC
        | {"act": "none", "bits": "8", "group": "channel", "scale": "fp32", "ascale": "", "eps": "normal", "aeps": ""},
        "int8_dynamic_int4_weight": _DYNAMIC
        | {"bits": "4", "group": "32", "scale": "fp32", "ascale": "fp32", "eps": "normal", "aeps": "f32eps"},
        "xnnpack_recipe": _DYNAMIC
        | {"bits": "4", "group": "32", "scale": "bf16", "ascale": "fp32", "eps": "bf16eps", "aeps": "f32eps"},
        "int4_weight_only": _EXACT
        | {
            "act": "none",
            "mapping": "asymmetric",
            "domain": "float",
            "pz": "no",
            "bits": "4",
            "group": "32",
            "scale": "fp32",
            "ascale": "",
            "eps": "1e-6",
            "aeps": "",
        },
        "stretched_intx_weight_only": _EXACT
        | {
            "act": "none",
            "mapping": "stretched",
            "domain": "int",
            "pz": "yes",
            "bits": "4",
            "group": "32",
            "scale": "fp32",
            "ascale": "",
            "eps": "normal",
            "aeps": "",
        },
        "int4_weight_only_embedding": _DYNAMIC
        | {"act": "none", "bits": "4", "group": "32", "scale": "fp32", "ascale": "", "eps": "normal", "aeps": ""},
        "burn_3042": _BURN | {"act": "tensor", "scale": "model", "ascale": "model", "aeps": "normal"},
        "burn_head": _BURN | {"act": "none", "scale": "fp32", "ascale": "", "aeps": ""},
    }
)
LAYER_PRESETS: Final = tuple(preset for preset in PRESETS if preset not in BURN_PRESETS)

# What a layer of a weights file brings along, so that a cell of one leaves these axes at their defaults.
FROM_FILE: Final = ("bias", "rank", "shape", "family", "case", "layout")

# The dtype that "preset" means for a zero point, by domain; on a stretched grid it is the model's.
ZERO_POINTS: Final[Mapping[str, str]] = MappingProxyType({"int": "int8", "float": "model", "none": "absent"})
