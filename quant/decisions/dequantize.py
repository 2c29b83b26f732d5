"""Decisions of steps 18 to 22: from codes back to values."""

from enum import StrEnum


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
