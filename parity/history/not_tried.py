"""Entries of torchao's list of 53 mismatches, and of the study of Burn's, that two lanes do not show, and why."""

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
        "burn-8.1-5": "the scale of an all-zero tensor at #3042 is the one of burn-8.3-7, where it is tried",
        "burn-8.1-8": "the tolerance of a test, which passes what exact semantics is not; goldens hold the exact value",
        "burn-8.2-6": "operations that were missing raised; no bit is computed",
        "burn-8.2-7": "a length of bytes that is counted wrong raises; suites of bytes compare lengths",
        "burn-8.2-8": "a fused kernel that reads bytes as another type, or panics: no decision about numbers",
        "burn-8.2-9": "scales read as fp32 that are fp16 are bytes misread, as any spoiled stage: no decision",
        "burn-8.2-11": "windows of words that overlap are a wrong address, no decision; files are little-endian here",
        "burn-8.3-2": "one ulp of a scale decides a tie at -alpha: the hazard of burn-8.3-3, at the extremum",
        "burn-8.3-9": "float values go through the rounding of integers; schemes have no float grids",
        "burn-8.3-11": "a scale of 8 bits is NaN where a shading language lacks it; no lane runs there",
        "burn, reading past the end": "where numel fills no word (8.1-6), what lies behind it is read: no value that "
        "could be compared; source_order memory raises where memory ends",
    }
)
