"""The third opinion: what a scheme declares, each step exact and rounded once, without quant's arithmetic.

    trace(x, scheme, fake=False, output_dtype=x.dtype).codes
    product(x, w, bias, rules, dtype)
    blame(lane_trace, scheme, x, operand="weight", fake=False, output_dtype=x.dtype).sentence

Of quant it imports the data classes alone, and nothing of kernels.
"""

from parity.oracle.blame import Blame, blame
from parity.oracle.gradient import gradient
from parity.oracle.product import product
from parity.oracle.trace import Form, OracleTrace, trace

__all__ = ["Blame", "Form", "OracleTrace", "blame", "gradient", "product", "trace"]
