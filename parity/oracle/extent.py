"""Step 1b: how far a group reaches from zero where its mean magnitude decides it."""

from __future__ import annotations

import numpy as np

from parity.oracle.arithmetic import Arithmetic, Values
from parity.oracle.binary_format import FLOAT32
from parity.oracle.declared import Declared
from parity.oracle.encoding import decode, encode
from parity.oracle.exact_sum import exact_sums
from parity.oracle.number import Number, rounded
from quant import decisions as d
from quant.mapping import Extent


def extent_of(x: Values, amax: Values, de: Declared, m: Arithmetic) -> Values:
    """mean|x| of every row of x in Q, or bits times it, or the smaller of that and `amax`."""
    if de.rules.range_nan == d.RangeNan.IGNORE:
        x = np.where(m.is_nan(x), m.number(0), x)
    mean = m.flushed(_mean(abs(x), de, m), de.qparam)
    if de.scheme.extent == Extent.MEAN:
        return mean
    reach = m.multiply(mean, m.number(de.scheme.bits), de.qparam)
    return m.least(reach, amax) if de.scheme.extent == Extent.CAPPED_ABS_MEAN else reach


def _mean(x: Values, de: Declared, m: Arithmetic) -> Values:
    """The mean of every row in Q. A library's own order of summation is declared nowhere, so torch is asked for it."""
    rule, count = de.rules.mean_accumulate, x.shape[-1]
    if count == 1:
        return m.cast(x, de.input, de.qparam)
    if rule == d.MeanAccumulate.NATIVE:
        mean = encode(m.write(x), de.input).mean(-1, keepdim=True)
        return m.cast(m.read(decode(mean)), de.input, de.qparam)
    if rule == d.MeanAccumulate.EXACT:
        sums = exact_sums(m.write(x), np.ones((1, count)), None)
        means = [float(rounded(total / Number.of(count), de.qparam)) for total in sums.ravel()]
        return m.flushed(m.read(np.array(means).reshape(-1, 1)), de.qparam)
    total = x[..., :1]
    for k in range(1, count):
        total = m.rounded(m.sum(total, x[..., k : k + 1]), FLOAT32)
    return m.cast(m.rounded(m.quotient(total, m.number(count)), FLOAT32), FLOAT32, de.qparam)
