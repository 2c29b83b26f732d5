"""What can run where: a table of needs by device, mode, dtype and layout, and the sentence where one is not met.

A mode is how operations reach a device: eager, exported, compiled by torch.compile, fused (the plain path compiled on
cpu, Triton on cuda) or triton. A layout stands for ATen's product that reads it; its bytes are packed anywhere.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

import torch

from kernels.machine import Machine, this_machine

INSTRUCTIONS: Final = {"cpu_int4(avx512)": "AVX512", "cpu_int4(avx2)": "AVX2", "cpu_int4(scalar)": "DEFAULT"}
TILED: Final = ("cuda_tiled(2)", "cuda_tiled(4)", "cuda_tiled(8)")
LAYOUTS: Final = MappingProxyType(  # and the device whose product reads each
    {**dict.fromkeys(INSTRUCTIONS, "cpu"), **dict.fromkeys(TILED, "cuda"), "xpu_int4": "xpu"}
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Need:
    """A row: what is needed by whoever asks for these; an empty tuple stands for all there are.

    `elsewhere` is the one device that the row is not about. `missing` is the sentence where the need is not met,
    formatted with the machine as `m`.
    """

    devices: tuple[str, ...] = ()
    elsewhere: str = ""
    modes: tuple[str, ...] = ()
    dtypes: tuple[torch.dtype, ...] = ()
    layouts: tuple[str, ...] = ()
    needs: str
    met: Callable[[Machine], bool]
    missing: str

    def concerns(self, device: str, mode: str, dtype: torch.dtype | None, layout: str | None) -> bool:
        """Whether the row is about this question."""
        return (
            (not self.devices or device in self.devices)
            and device != self.elsewhere
            and (not self.modes or mode in self.modes)
            and (not self.dtypes or dtype in self.dtypes)
            and (not self.layouts or layout in self.layouts)
        )


def missing(
    device: str,
    mode: str = "eager",
    *,
    dtype: torch.dtype | None = None,
    layout: str | None = None,
    machine: Machine | None = None,
) -> str | None:
    """Why this cannot run on this machine, or on another: the first need that is not met, as a sentence; else None."""
    here = this_machine() if machine is None else machine
    unmet = (need for need in NEEDS if need.concerns(device, mode, dtype, layout) and not need.met(here))
    return next((need.missing.format(m=here) for need in unmet), None)


def missing_triton() -> str | None:
    """Why Triton kernels cannot run here, or None."""
    return missing("cuda", "triton")


def _never(_: Machine) -> bool:
    return False


def _runs(capability: str) -> Callable[[Machine], bool]:
    return lambda m: m.cpu == capability


NEEDS: Final = (
    Need(
        needs="torch 2.11 or newer",
        met=lambda m: m.torch >= (2, 11),
        missing="torch is {m.torch[0]}.{m.torch[1]}; 2.11 or newer is needed",
    ),
    Need(
        modes=("triton",),
        elsewhere="cuda",
        needs="another device: cuda",
        met=_never,
        missing="the triton kernels run on cuda",
    ),
    Need(
        modes=("fused",),
        devices=("xpu", "mps"),
        needs="another device: cpu or cuda",
        met=_never,
        missing="fused kernels run on cpu and cuda",
    ),
    Need(devices=("cuda",), needs="the device", met=lambda m: "cuda" in m.devices, missing="no cuda device"),
    Need(devices=("xpu",), needs="the device", met=lambda m: "xpu" in m.devices, missing="no xpu device"),
    Need(devices=("mps",), needs="the device", met=lambda m: "mps" in m.devices, missing="no mps device"),
    Need(
        devices=("mps",),
        dtypes=(torch.float64,),
        needs="another dtype",
        met=_never,
        missing="mps has no float64",
    ),
    Need(
        devices=("cpu",),
        modes=("compiled", "fused"),
        needs="a C++ compiler: what CXX names, else g++ (clang++ on macOS)",
        met=lambda m: m.compiler is not None,
        missing="no C++ compiler, which torch.compile needs on cpu",
    ),
    Need(
        devices=("cpu",),
        modes=("compiled", "fused"),
        needs="Python's headers, which some systems have as python3-dev",
        met=lambda m: m.has_headers,
        missing="no Python.h, which torch.compile needs on cpu",
    ),
    Need(
        devices=("cuda", "xpu"),
        modes=("compiled", "fused", "triton"),
        needs="the package triton",
        met=lambda m: m.has_triton,
        missing="triton is not installed",
    ),
    Need(
        devices=("cuda",),
        modes=("fused", "triton"),
        dtypes=(torch.bfloat16,),
        needs="compute capability 8.0",
        met=lambda m: m.cuda is not None and m.cuda >= (8, 0),
        missing="bfloat16 in Triton needs compute capability 8.0, and this device has {m.capability}",
    ),
    *(
        Need(
            elsewhere=device,
            layouts=(layout,),
            needs=f"another device: {device}",
            met=_never,
            missing=f"the product that reads {layout} runs on {device}",
        )
        for layout, device in LAYOUTS.items()
    ),
    *(
        Need(
            devices=("cpu",),
            layouts=(layout,),
            needs=f"{capability} code",
            met=_runs(capability),
            missing=f"{layout} is what {capability} code reads, and this machine runs {{m.cpu}}",
        )
        for layout, capability in INSTRUCTIONS.items()
    ),
    Need(
        devices=("cuda",),
        layouts=TILED,
        needs="compute capability 8.0",
        met=lambda m: m.cuda is not None and m.cuda >= (8, 0),
        missing="the tiled product needs compute capability 8.0, and this device has {m.capability}",
    ),
)
