"""The closed set of values of every numeric decision: one enumeration a field of `Rules` or `ProductRules`.

The first value of each is what torchao 0.18 does on CPU. Notation: R_d(v) = v rounded to nearest, ties to even, into
dtype d; D, S, Z, O = dtypes of the input, the stored scale, the stored zero point and the dequantized output;
C = dtype of the quotient x/s; P(a, b) = torch's promotion of two dimensioned tensors; r = the rounding to integers.
"""

from enum import StrEnum

# Range and scale


class RangeNan(StrEnum):
    """What a NaN does to the group's minimum and maximum."""

    PROPAGATE = "propagate"
    IGNORE = "ignore"


class QparamDtype(StrEnum):
    """Dtype in which range, scale and zero point are computed; each operation rounds to it."""

    INPUT = "input"
    FLOAT32 = "float32"
    FLOAT64 = "float64"


class SymmetricScale(StrEnum):
    """a = max(-min, max) over a divisor."""

    HALF_SPAN = "half_span"  # a / ((qmax - qmin) / 2)
    DOUBLED_OVER_SPAN = "doubled_over_span"  # 2a / (qmax - qmin)
    QMAX = "qmax"  # a / qmax
    ABS_QMIN = "abs_qmin"  # a / |qmin|


class ScalarDivision(StrEnum):
    """How a tensor is divided by a number: CPU eager divides, CUDA eager multiplies by R(1/c)."""

    DIVIDE = "divide"
    RECIPROCAL_MULTIPLY = "reciprocal_multiply"


class EpsTarget(StrEnum):
    """What eps bounds from below: the scale, the range before its division, or nothing."""

    SCALE = "scale"
    RANGE = "range"
    NONE = "none"


class EpsOrder(StrEnum):
    """Whether eps bounds the scale before or after it is rounded to S."""

    BEFORE_STORAGE = "before_storage"
    AFTER_STORAGE = "after_storage"


class ScaleRounding(StrEnum):
    """How the scale is rounded into S."""

    NEAREST_EVEN = "nearest_even"
    UP = "up"
    POWER_OF_TWO_NEAREST = "power_of_two_nearest"  # 2 ** round(log2(s))


class ScaleOverflow(StrEnum):
    """What a finite scale above max(S) becomes."""

    INFINITE = "infinite"
    SATURATE = "saturate"


class ZeroScale(StrEnum):
    """What a scale that is not positive, or not finite, becomes."""

    KEEP = "keep"
    ONE = "one"
    TENTH = "tenth"
    MIN_POSITIVE = "min_positive"  # fp32's smallest normal, rounded to S


class ZeroScaleAt(StrEnum):
    """Whether `zero_scale` replaces the stored scale or only the one that is used."""

    STORED = "stored"
    USE = "use"


# Zero point


class ScaleSource(StrEnum):
    """Which scale a step reads: the one stored in S, or the one before that rounding."""

    STORED = "stored"
    UNROUNDED = "unrounded"


class ZeroPointScale(StrEnum):
    """Which scale the zero point is computed from."""

    UNROUNDED = "unrounded"
    STORED = "stored"


class ZeroPointDivision(StrEnum):
    """min / s, or min * (1/s)."""

    DIVIDE = "divide"
    RECIPROCAL_MULTIPLY = "reciprocal_multiply"


class ZeroPointRule(StrEnum):
    """From which end of the range the zero point is computed; d = min/s, e = max/s."""

    FROM_MIN = "from_min"  # qmin - d
    FROM_MAX = "from_max"  # qmax - e
    MIN_ERROR = "min_error"  # qmin - d if (qmin + d) + (qmax + e) > 0 else qmax - e (XNNPACK)


class ZeroPointRoundOrder(StrEnum):
    """qmin - r(d), or r(qmin - d)."""

    ROUND_FIRST = "round_first"
    SUBTRACT_FIRST = "subtract_first"


class ZeroPointRounding(StrEnum):
    """How a zero point is rounded to an integer."""

    HALF_EVEN = "half_even"
    HALF_AWAY = "half_away"
    TRUNCATE = "truncate"


class ZeroPointClamp(StrEnum):
    """Whether the zero point is clamped to [qmin, qmax]."""

    CLAMP = "clamp"
    NONE = "none"


class FloatZeroPoint(StrEnum):
    """FLOAT domain: min + s * mid with mid = (qmax + qmin + 1) / 2 (tinygemm), or min."""

    MIN_PLUS_MID = "min_plus_mid"
    MIN = "min"


class ZeroPointCast(StrEnum):
    """How a float zero point meets an integer Z."""

    TRUNCATE = "truncate"
    NEAREST = "nearest"


class ZeroPointOffset(StrEnum):
    """MINUS_ONE stores z - 1 and undoes it before use (GPTQ v1)."""

    NONE = "none"
    MINUS_ONE = "minus_one"


# Codes


class CodeDtype(StrEnum):
    """C, the dtype of the quotient: P(D, S), D, S, or a fixed one."""

    PROMOTED = "promoted"
    INPUT = "input"
    SCALE = "scale"
    FLOAT32 = "float32"
    FLOAT64 = "float64"


class CodeDivision(StrEnum):
    """x * (1/s), or x / s."""

    RECIPROCAL_MULTIPLY = "reciprocal_multiply"
    DIVIDE = "divide"


class ReciprocalDtype(StrEnum):
    """Dtype to which 1/s is rounded: S, or C."""

    SCALE = "scale"
    CODE = "code"


class FloatCodeDivision(StrEnum):
    """FLOAT domain: (x - o) / s, or (x - o) * (1/s)."""

    DIVIDE = "divide"
    RECIPROCAL_MULTIPLY = "reciprocal_multiply"


class FloatCodeOrigin(StrEnum):
    """FLOAT domain: o = z - s * mid, or the group's minimum itself."""

    ZERO_POINT = "zero_point"
    MIN = "min"


class CodeRounding(StrEnum):
    """How a quotient t becomes an integer."""

    HALF_EVEN = "half_even"
    HALF_AWAY = "half_away"
    HALF_AWAY_BY_ADDING = "half_away_by_adding"  # trunc(t + copysign(0.5, t)), the addition rounded
    HALF_UP = "half_up"  # floor(t + 0.5), the addition rounded
    TRUNCATE = "truncate"


class ZeroPointAdd(StrEnum):
    """r(t) + z, r(t + z), or r(fma(x, 1/s, z))."""

    AFTER_ROUND = "after_round"
    BEFORE_ROUND = "before_round"
    BEFORE_ROUND_FMA = "before_round_fma"


class ZeroPointAddDtype(StrEnum):
    """Dtype of the addition of the zero point: P(C, Z), C, or fp32."""

    PROMOTED = "promoted"
    CODE = "code"
    FLOAT32 = "float32"


class CodeClamp(StrEnum):
    """AFTER_INT32 turns what does not fit int32 into INT_MIN first, so +huge becomes qmin."""

    AFTER_ROUND = "after_round"
    AFTER_INT32 = "after_int32"
    NONE = "none"


class ClampBound(StrEnum):
    """Whether qmin and qmax are rounded to the dtype of the clamped tensor, or kept exact."""

    ROUNDED = "rounded"
    EXACT = "exact"


class CodeCast(StrEnum):
    """What fake quantization hands to its dequantizing half: float codes, or the integers PTQ stores."""

    NONE = "none"
    INTEGER = "integer"


class NanCode(StrEnum):
    """The integer code of a NaN; INT_MIN is the least value of the dtype that stores the codes."""

    ZERO = "zero"
    INT_MIN = "int_min"
    QMIN = "qmin"
    QMAX = "qmax"
    RAISE = "raise"


# Dequantize


class SubtractDtype(StrEnum):
    """Dtype of q - z: O, int32 (which truncates a float zero point), S, or fp32."""

    OUTPUT = "output"
    INT32 = "int32"
    SCALE = "scale"
    FLOAT32 = "float32"


class RescaleDtype(StrEnum):
    """Dtype of (q - z) * s, and of (q - mid) * s in the FLOAT domain: P(O, S), S, O, or a fixed one."""

    PROMOTED = "promoted"
    SCALE = "scale"
    OUTPUT = "output"
    FLOAT32 = "float32"
    FLOAT64 = "float64"


class RescaleIntermediate(StrEnum):
    """FLOAT domain: whether (q - mid) * s is rounded to O before z is added."""

    OUTPUT = "output"
    KEEP = "keep"


class RescaleFusion(StrEnum):
    """FLOAT domain: (q - mid) * s + z in two roundings, fma(q - mid, s, z), or fma(q, s, fma(-mid, s, z))."""

    TWO_ROUNDINGS = "two_roundings"
    FMA = "fma"
    FMA_OFFSET = "fma_offset"


class OperandDtype(StrEnum):
    """Dtype of the dequantized operand that the product receives."""

    OUTPUT = "output"
    FLOAT32 = "float32"


# Gradient


class GradientMask(StrEnum):
    """Where the straight-through gradient passes."""

    ROUNDED = "rounded"  # qmin <= the code before its clamp <= qmax
    UNROUNDED = "unrounded"  # qmin <= x/s + z <= qmax
    NONE = "none"  # everywhere
    ALL = "all"  # nowhere: the tensor is detached


class GradientProduct(StrEnum):
    """What passes: (gy * s) * (1/s), gy itself, or (gy * s) / s."""

    SCALE_TIMES_RECIPROCAL = "scale_times_reciprocal"
    IDENTITY = "identity"
    SCALE_OVER_SCALE = "scale_over_scale"


# Device arithmetic


class Subnormals(StrEnum):
    """FLUSH replaces every operation's subnormal result by zero of its sign."""

    KEEP = "keep"
    FLUSH = "flush"


# Products


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
