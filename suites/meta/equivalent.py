"""Mutants that nothing can see, each with the proof; a suite checks that no place catches one of them after all."""

from __future__ import annotations

from types import MappingProxyType
from typing import Final

EQUIVALENT: Final = MappingProxyType(
    {
        "code_clamp=input_limits": (
            "no lane can have it in place of another value: on a grid of integers it raises, on one of halves nothing "
            "else is legal"
        ),
    }
)
