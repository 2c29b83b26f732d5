"""What this machine has, looked at once: the facts that kernels.availability asks for."""

from __future__ import annotations

import os
import re
import sys
import sysconfig
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from shutil import which

import torch


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """Versions, devices and compilers; `cpu` is the instruction set that ATen runs, as torch names it."""

    torch: tuple[int, int]
    devices: frozenset[str]
    cpu: str  # AVX512, AVX2, DEFAULT, ...
    cuda: tuple[int, int] | None  # compute capability
    compiler: str | None  # the C++ compiler that torch.compile calls
    has_headers: bool  # Python.h
    has_triton: bool

    @property
    def capability(self) -> str:
        """The compute capability as NVIDIA writes it."""
        return "none" if self.cuda is None else "{}.{}".format(*self.cuda)


@cache
def this_machine() -> Machine:
    """The machine this process runs on."""
    has = {"cuda": torch.cuda.is_available(), "xpu": torch.xpu.is_available(), "mps": torch.backends.mps.is_available()}
    devices = frozenset({"cpu", *(device for device, there in has.items() if there)})
    major, minor = re.findall(r"\d+", torch.__version__)[:2]
    return Machine(
        torch=(int(major), int(minor)),
        devices=devices,
        cpu=torch.backends.cpu.get_cpu_capability(),
        cuda=torch.cuda.get_device_capability() if "cuda" in devices else None,
        compiler=which(os.environ.get("CXX", "clang++" if sys.platform == "darwin" else "g++")),
        has_headers=Path(sysconfig.get_path("include"), "Python.h").exists(),
        has_triton=find_spec("triton") is not None,
    )
