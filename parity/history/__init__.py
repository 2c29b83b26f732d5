"""Bugs that people found by hand, as rows of data: HISTORY holds them all, NOT_TRIED those that need what is not here.

A new case is one row of a table in this folder: the scheme of one lane, what the other carried out instead, and the
first stage at which they part. The decisions behind it follow from the two schemes.
"""

from typing import Final

from parity.history.burn import BURN_NUMBERS
from parity.history.burn_operations import BURN_OPERATIONS
from parity.history.case import HistoryCase
from parity.history.not_tried import NOT_TRIED
from parity.history.published import PUBLISHED
from parity.history.torchao_codes import TORCHAO_CODES
from parity.history.torchao_ends import TORCHAO_ENDS
from parity.history.torchao_scales import TORCHAO_SCALES

__all__ = ["BURN", "HISTORY", "NOT_TRIED", "PUBLISHED", "TORCHAO", "HistoryCase"]

TORCHAO: Final = tuple(sorted((*TORCHAO_SCALES, *TORCHAO_CODES, *TORCHAO_ENDS), key=lambda case: case.name))
BURN: Final = (*BURN_NUMBERS, *BURN_OPERATIONS)
HISTORY: Final = (*PUBLISHED, *TORCHAO, *BURN)
