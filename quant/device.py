"""What the declared device makes of the result of one operation."""

from torch import Tensor

from kernels.flush import flush
from quant.decisions import Subnormals
from quant.rules import Rules


def op(result: Tensor, rules: Rules) -> Tensor:
    """op(t) = t, or t with subnormals flushed to zero; every rounded operation of a scheme passes through it."""
    return flush(result) if rules.subnormals == Subnormals.FLUSH else result
