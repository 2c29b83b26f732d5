"""Decisions of the straight-through gradient, and of the arithmetic that every step shares."""

from enum import StrEnum


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


class Float64Cast(StrEnum):
    """How a float64 value becomes a 16-bit float: as torch does it, rounded to fp32 on the way, or rounded once."""

    THROUGH_FLOAT32 = "through_float32"
    ONCE = "once"


class Subnormals(StrEnum):
    """FLUSH replaces every operation's subnormal result by zero of its sign."""

    KEEP = "keep"
    FLUSH = "flush"
