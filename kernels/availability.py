"""Which kernels can run here, and the sentence that says why one cannot."""

from __future__ import annotations

from functools import cache
from importlib.util import find_spec

import torch


@cache
def missing_triton() -> str | None:
    """Why Triton kernels cannot run here, or None."""
    if not torch.cuda.is_available():
        return "no cuda device"
    if find_spec("triton") is None:
        return "triton is not installed"
    return None
