"""Decisions of steps 11 to 17: from values to codes."""

from enum import StrEnum


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
    """AFTER_INT32 turns what does not fit int32 into INT_MIN first, so +huge becomes qmin.

    INPUT_LIMITS, the stretched grid's own, brings x into +-(s * qmax) before it is divided, and clamps no code.
    """

    AFTER_ROUND = "after_round"
    AFTER_INT32 = "after_int32"
    INPUT_LIMITS = "input_limits"
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
