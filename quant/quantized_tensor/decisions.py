"""Every decision on quantized tensors that backends of Burn have taken differently, as closed sets of values.

The first value of each is the engine's own. Some of the others are bugs that were lived with: a lane that has one can
be named, and a divergence traced back to it.
"""

from __future__ import annotations

from enum import StrEnum


class SourceOrder(StrEnum):
    """In which order a float tensor is read when it is quantized."""

    INDEX = "index"
    MEMORY = "memory"  # as if it were contiguous: a transposed one is another matrix


class LayoutCodes(StrEnum):
    """What a layout operation does with a tensor of several scales; one scale goes with its codes everywhere."""

    MOVED = "moved"
    REQUANTIZED = "requantized"  # dequantized, moved, and quantized with fresh scales


class MovedScales(StrEnum):
    """Where the scales of moved codes are."""

    WITH_CODES = "with_codes"
    IN_PLACE = "in_place"  # the list that there was, for blocks of the size that there was


class PackedAxis(StrEnum):
    """Along which dimension the codes of a word are taken apart."""

    FOLLOWED = "followed"
    LAST = "last"  # also where the tensor was transposed since it was packed


class Compared(StrEnum):
    """What argmax, argmin, max and min compare."""

    VALUES = "values"
    CODES = "codes"  # also those of two blocks, whose scales differ


class RequantizedRange(StrEnum):
    """The range of what is quantized anew."""

    DECLARED = "declared"
    EXTREMES = "extremes"  # whatever the scheme's extent


class LaterOperations(StrEnum):
    """What LATER operations give."""

    BY_TABLE = "by_table"
    FLOAT = "float"


class MixedElementwise(StrEnum):
    """An elementwise operation, or a concatenation, of a quantized and a float tensor."""

    VALUES = "values"
    REFUSED = "refused"


class FloatByQuantized(StrEnum):
    """The left side of float x quantized."""

    FLOAT = "float"
    REQUANTIZED = "requantized"  # by the scheme of the right side


class MixedProduct(StrEnum):
    """What becomes of a product of a quantized and a float tensor."""

    PROPAGATED = "propagated"  # if the quantized side propagates
    FLOAT = "float"


class MixedRules(StrEnum):
    """The rules of a product of a quantized and a float tensor."""

    SCHEME = "scheme"  # exact where they multiply codes
    LIBRARY = "library"


class ProductScheme(StrEnum):
    """Whose scheme and rules decide where both sides of a product are quantized."""

    LEFT = "left"
    RIGHT = "right"


class ExportedScheme(StrEnum):
    """What a tensor that is exported says of its scheme."""

    WHOLE = "whole"
    DEFAULTS = "defaults"  # propagation inhibit, products summed in fp32, whatever it was


class ExportedZeroPoint(StrEnum):
    """What becomes of a zero point in a tensor that is exported."""

    KEPT = "kept"
    DROPPED = "dropped"
