"""Entries of torchao's list of 53 mismatches that two lanes on one tensor do not show, each with the reason."""

from __future__ import annotations

from types import MappingProxyType
from typing import Final

NOT_TRIED: Final = MappingProxyType(
    {
        "ao-16": "a mask taken after the clamp moves gradients alone; suites of gradients compare them",
        "ao-17": "a subclass that DDP and FSDP cannot wrap raises; no bit is computed",
        "ao-18": "an operator that calls itself raises; no bit is computed",
        "ao-32": "a dequantization that modifies its input differs from itself: NONDETERMINISTIC, and no cause",
        "ao-36": "nvfp4 has scales on two levels, which no field says; a module that was not swapped is no bits",
        "ao-40": "a fake quantizer that cannot be switched off has codes where the float layer has none",
        "ao-48": "an overflowing cast to float8 needs a float grid, which schemes do not have",
    }
)
