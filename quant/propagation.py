"""Whether what is computed from a quantized tensor is quantized again."""

from enum import StrEnum


class Propagation(StrEnum):
    """PROPAGATE: a computed result is quantized by the scheme of its operand. INHIBIT: it is float."""

    PROPAGATE = "propagate"
    INHIBIT = "inhibit"
