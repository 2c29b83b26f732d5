"""What is claimed of a rule set: its public steps give what it declares, and pretending gives what storing gives.

premerge is a small share, for every commit; nightly is every domain, 2, 4 and 8 bits, and every telling zero point.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from typing import Any, Final

from parity.proving.claim import Claim, Step, grid_of
from parity.proving.operands import telling_zero_points
from parity.proving.party import Party, other_party
from quant import Mapping, ZeroPointDomain

DTYPES: Final = ("bf16", "fp16")
BITS: Final = (2, 4, 8)
_WIDTH: Final = 4  # bits of a premerge claim


def claims_of(party: Party, tier: str = "premerge") -> tuple[Claim, ...]:
    """The claims of a party's rules in a tier. Raises ValueError for a tier there is not."""
    if tier not in ("premerge", "nightly"):
        raise ValueError(f"the tier is {tier!r}; it must be premerge or nightly")
    found = _premerge(party) if tier == "premerge" else _nightly(party)
    return tuple(found)


def _premerge(party: Party) -> Iterator[Claim]:
    oracle, stored = other_party("oracle", party), other_party("stored", party)
    for dtype in DTYPES:
        common: dict[str, Any] = {"dtype": dtype, "scale": dtype, "a": party}
        for domain in ZeroPointDomain:
            yield Claim(step=Step.QUANTIZE, b=oracle, domain=domain, bits=_WIDTH, **common)
            every = _every(domain, _WIDTH)
            yield Claim(step=Step.DEQUANTIZE, b=oracle, domain=domain, bits=_WIDTH, zero_points=every, **common)
        yield Claim(step=Step.FAKE_QUANTIZE, b=stored, bits=_WIDTH, **common)
        yield Claim(step=Step.CHOOSE_QPARAMS, b=oracle, bits=_WIDTH, **common)


def _nightly(party: Party) -> Iterator[Claim]:
    oracle, stored = other_party("oracle", party), other_party("stored", party)
    for dtype, bits in product(DTYPES, BITS):
        common: dict[str, Any] = {"dtype": dtype, "scale": dtype, "a": party, "bits": bits}
        for domain in ZeroPointDomain:
            telling = (0,) if domain is ZeroPointDomain.NONE else telling_zero_points(*grid_of(domain, bits))
            for z in telling:
                yield Claim(step=Step.QUANTIZE, b=oracle, domain=domain, zero_points=(z,), **common)
                yield Claim(step=Step.FAKE_QUANTIZE, b=oracle, domain=domain, zero_points=(z,), **common)
                yield Claim(step=Step.FAKE_QUANTIZE, b=stored, domain=domain, zero_points=(z,), **common)
            yield Claim(step=Step.DEQUANTIZE, b=oracle, domain=domain, zero_points=_every(domain, bits), **common)
        for mapping in (Mapping.SYMMETRIC, Mapping.SYMMETRIC_NO_CLIPPING, Mapping.ASYMMETRIC):
            yield Claim(step=Step.CHOOSE_QPARAMS, b=oracle, mapping=mapping, **common)
        yield Claim(step=Step.CHOOSE_QPARAMS, b=oracle, domain=ZeroPointDomain.FLOAT, **common)


def _every(domain: ZeroPointDomain, bits: int) -> tuple[int, ...]:
    """Every zero point of the grid; in the FLOAT domain, where each is asked about, the telling ones beyond 4 bits."""
    qmin, qmax = grid_of(domain, bits)
    if domain is ZeroPointDomain.NONE:
        return (0,)
    few = domain is ZeroPointDomain.INT or bits <= _WIDTH
    return tuple(range(qmin, qmax + 1)) if few else telling_zero_points(qmin, qmax)
