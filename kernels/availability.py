"""Which kernels can run here, and the sentence that says why one cannot."""

from __future__ import annotations

import os
import sys
from functools import cache
from importlib.util import find_spec
from shutil import which

import torch


@cache
def missing_triton() -> str | None:
    """Why Triton kernels cannot run here, or None."""
    if not torch.cuda.is_available():
        return "no cuda device"
    if find_spec("triton") is None:
        return "triton is not installed"
    return None


def missing_compiler() -> str | None:
    """Why nothing can be compiled for the CPU here, or None; the compiler is the one that torch.compile calls."""
    name = os.environ.get("CXX", "clang++" if sys.platform == "darwin" else "g++")
    return None if which(name) is not None else f"no C++ compiler ({name}), which torch.compile needs on cpu"
