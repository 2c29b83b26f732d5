"""The closed set of values of every numeric decision: one enumeration a field of `Rules` or `ProductRules`.

The first value of each is what torchao 0.18 does on CPU. Notation: R_d(v) = v rounded to nearest, ties to even, into
dtype d; D, S, Z, O = dtypes of the input, the stored scale, the stored zero point and the dequantized output;
C = dtype of the quotient x/s; P(a, b) = torch's promotion of two dimensioned tensors; r = the rounding to integers.
"""

from quant.decisions.codes import (
    ClampBound,
    CodeCast,
    CodeClamp,
    CodeDivision,
    CodeDtype,
    CodeRounding,
    FloatCodeDivision,
    FloatCodeOrigin,
    NanCode,
    ReciprocalDtype,
    ZeroPointAdd,
    ZeroPointAddDtype,
)
from quant.decisions.dequantize import (
    OperandDtype,
    RescaleDtype,
    RescaleFusion,
    RescaleIntermediate,
    SubtractDtype,
)
from quant.decisions.gradient import (
    GradientMask,
    GradientProduct,
    Subnormals,
)
from quant.decisions.products import (
    Accumulate,
    BiasAdd,
    CodeProductRescale,
    OperandPrecision,
    ProductOperands,
    ProductOutput,
)
from quant.decisions.range_and_scale import (
    EpsOrder,
    EpsTarget,
    QparamDtype,
    RangeNan,
    ScalarDivision,
    ScaleOverflow,
    ScaleRounding,
    ScaleSource,
    SymmetricScale,
    ZeroScale,
    ZeroScaleAt,
)
from quant.decisions.zero_point import (
    FloatZeroPoint,
    ZeroPointCast,
    ZeroPointClamp,
    ZeroPointDivision,
    ZeroPointOffset,
    ZeroPointRounding,
    ZeroPointRoundOrder,
    ZeroPointRule,
    ZeroPointScale,
)

__all__ = [
    "Accumulate",
    "BiasAdd",
    "ClampBound",
    "CodeCast",
    "CodeClamp",
    "CodeDivision",
    "CodeDtype",
    "CodeProductRescale",
    "CodeRounding",
    "EpsOrder",
    "EpsTarget",
    "FloatCodeDivision",
    "FloatCodeOrigin",
    "FloatZeroPoint",
    "GradientMask",
    "GradientProduct",
    "NanCode",
    "OperandDtype",
    "OperandPrecision",
    "ProductOperands",
    "ProductOutput",
    "QparamDtype",
    "RangeNan",
    "ReciprocalDtype",
    "RescaleDtype",
    "RescaleFusion",
    "RescaleIntermediate",
    "ScalarDivision",
    "ScaleOverflow",
    "ScaleRounding",
    "ScaleSource",
    "Subnormals",
    "SubtractDtype",
    "SymmetricScale",
    "ZeroPointAdd",
    "ZeroPointAddDtype",
    "ZeroPointCast",
    "ZeroPointClamp",
    "ZeroPointDivision",
    "ZeroPointOffset",
    "ZeroPointRoundOrder",
    "ZeroPointRounding",
    "ZeroPointRule",
    "ZeroPointScale",
    "ZeroScale",
    "ZeroScaleAt",
]
