"""The two ways to prepare a model: other layers in place of its own, or other Parameters inside its own."""

from enum import StrEnum


class Mechanism(StrEnum):
    """MODULE_SWAP replaces nn.Linear and nn.Embedding; SUBCLASS wraps their weights. Both give the same bits.

    A swap keeps the Parameters, and takes ranges that are observed or learned. A wrapped weight keeps the layers, and
    whatever looks at their type.
    """

    MODULE_SWAP = "module_swap"
    SUBCLASS = "subclass"
