"""space_of(claim) = the operands that it speaks of, in slices that can be counted apart and blocks that fit a cache."""

from __future__ import annotations

from parity.proving.block import Space
from parity.proving.claim import Claim
from parity.proving.grid import Grid
from parity.proving.pairs import Beside, OrderedPairs


def space_of(claim: Claim, device: str = "cpu") -> Space:
    """The operands of a claim, on a device."""
    if claim.beside:
        return Beside.of(claim, device)
    return (OrderedPairs if claim.chooses else Grid).of(claim, device)
