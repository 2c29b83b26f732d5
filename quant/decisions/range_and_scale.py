"""Decisions of steps 1 to 6: the range of a group, and the scale that is stored and used."""

from enum import StrEnum


class RangeNan(StrEnum):
    """What a NaN does to the group's minimum and maximum."""

    PROPAGATE = "propagate"
    IGNORE = "ignore"


class MeanAccumulate(StrEnum):
    """How the mean of |x| is summed: as the library does, one by one in fp32, or exactly with one rounding to Q."""

    NATIVE = "native"
    FLOAT32_SEQUENTIAL = "float32_sequential"
    EXACT = "exact"


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
    HALF_LEVELS = "half_levels"  # a / ((qmax - qmin + 1) / 2), so that all levels take equal parts of [-a, a]


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
    TENTH = "tenth"  # 0.1 in place of zero alone
    MIN_POSITIVE = "min_positive"  # fp32's smallest normal, rounded to S


class ZeroScaleAt(StrEnum):
    """Whether `zero_scale` replaces the stored scale or only the one that is used."""

    STORED = "stored"
    USE = "use"


class ScaleSource(StrEnum):
    """Which scale a step reads: the one stored in S, or the one before that rounding."""

    STORED = "stored"
    UNROUNDED = "unrounded"
