"""Decisions of `ProductRules`: how two operands meet."""

from enum import StrEnum


class ProductOperands(StrEnum):
    """What is multiplied: dequantized tensors, or integer codes whose sum is rescaled."""

    DEQUANTIZED = "dequantized"
    CODES = "codes"


class OperandPrecision(StrEnum):
    """Precision to which a native product may cut its operands."""

    NATIVE = "native"
    TF32 = "tf32"
    BFLOAT16 = "bfloat16"


class Accumulate(StrEnum):
    """How products are summed over k. NATIVE is whatever the library does: never portable bit for bit."""

    NATIVE = "native"
    FLOAT32_SEQUENTIAL_FMA = "float32_sequential_fma"
    FLOAT32_SEQUENTIAL = "float32_sequential"
    FLOAT16_SEQUENTIAL = "float16_sequential"
    INT32 = "int32"
    EXACT = "exact"


class CodeProductRescale(StrEnum):
    """CODES: acc*(sx*sw), (acc*sx)*sw, or (acc*sw)*sx, in fp32."""

    SCALES_FIRST = "scales_first"
    INPUT_FIRST = "input_first"
    WEIGHT_FIRST = "weight_first"


class BiasAdd(StrEnum):
    """Where the bias enters: the sum, before or after the cast to the output dtype, or not at all."""

    IN_ACCUMULATOR = "in_accumulator"
    BEFORE_OUTPUT_CAST = "before_output_cast"
    AFTER_OUTPUT_CAST = "after_output_cast"
    NONE = "none"


class ProductOutput(StrEnum):
    """How the sum reaches the output dtype: at once, through fp16, or promoted with the scales' dtype."""

    DIRECT = "direct"
    VIA_FLOAT16 = "via_float16"
    PROMOTED = "promoted"
