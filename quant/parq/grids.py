"""PARQ's own quantizers as schemes; those backed by torchao's primitives are quant.presets under the rules `parq`."""

from __future__ import annotations

from typing import Final

from quant.eps import EpsOf
from quant.granularity import Granularity, PerRow
from quant.mapping import Extent, Mapping, ZeroPointDomain
from quant.presets import stretched_grid
from quant.rule_sets import PARQ, stretched
from quant.rules import Rules
from quant.scheme import MODEL, TensorScheme

ROWS: Final = PerRow()


def unif(
    bits: int,
    *,
    granularity: Granularity = ROWS,
    extent: Extent = Extent.CAPPED_ABS_MEAN,
    eps: float | EpsOf | None = None,
    rules: Rules = PARQ,
) -> TensorScheme:
    """2**bits levels, odd multiples of s/2: (round(x/s - 1/2) + 1/2) * s with s = range / (2**(bits-1) - 1/2)."""
    qmin, qmax = stretched_grid(bits)
    return TensorScheme(
        bits=bits,
        qmin=qmin,
        qmax=qmax,
        granularity=granularity,
        mapping=Mapping.STRETCHED,
        extent=extent,
        zero_point_dtype=MODEL,
        eps=rules.default_eps if eps is None else eps,
        rules=stretched(rules.with_values(code_cast="none")),
    )


def max_unif(
    bits: int,
    *,
    granularity: Granularity = ROWS,
    extent: Extent = Extent.MIN_MAX,
    eps: float | EpsOf | None = None,
    rules: Rules = PARQ,
) -> TensorScheme:
    """2**bits - 1 levels, zero among them: round(x/s) * s with s = max|x| / (2**(bits-1) - 1); bits of at least 2.

    Codes are integers also before they are stored: a small negative value becomes +0, not -0.
    """
    end = 2 ** (bits - 1) - 1
    return _whole(bits, end, granularity, extent, eps, rules.with_values(code_cast="integer"))


def ternary(
    *,
    granularity: Granularity = ROWS,
    extent: Extent = Extent.MIN_MAX,
    eps: float | EpsOf | None = None,
    rules: Rules = PARQ,
) -> TensorScheme:
    """Three levels, clamp(round(x/s), -1, 1) * s with s = max|x| / 1.5, so that each takes a third of the range."""
    return _whole(2, 1, granularity, extent, eps, rules.with_values(code_cast="none", symmetric_scale="half_levels"))


def _whole(
    bits: int, end: int, granularity: Granularity, extent: Extent, eps: float | EpsOf | None, rules: Rules
) -> TensorScheme:
    """Codes -end..end without a zero point; as on a stretched grid, eps bounds the range and x is divided by s."""
    limited = stretched(rules).with_values(code_clamp="after_round", zero_point_add="after_round")
    return TensorScheme(
        bits=bits,
        qmin=-end,
        qmax=end,
        granularity=granularity,
        extent=extent,
        zero_point_domain=ZeroPointDomain.NONE,
        zero_point_dtype=None,
        eps=rules.default_eps if eps is None else eps,
        rules=limited,
    )
