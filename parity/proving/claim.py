"""A claim: two parties give the same bits at one step, for every operand of a dtype."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum
from functools import cached_property
from typing import Any

import torch

from parity.formats import hexadecimal
from parity.proving.operands import ENUMERABLE
from parity.proving.party import Party, Path
from parity.schemes import DTYPES
from quant import EpsOf, EpsProperty, Mapping, PerAxis, PropertyDtype, TensorScheme, ZeroPointDomain
from quant.presets import signed_grid
from quant.scheme import ResolvedScheme


class Step(StrEnum):
    """What is proved, and over which operands."""

    QUANTIZE = "quantize"  # inputs x scales x zero points -> stored codes
    FAKE_QUANTIZE = "fake_quantize"  # the same -> values
    DEQUANTIZE = "dequantize"  # codes x scales x zero points -> values
    CHOOSE_QPARAMS = "choose_qparams"  # ordered pairs (min, max) -> scale and zero point
    ROUND_TRIP = "round_trip"  # groups of two -> scale, zero point, codes and values read back


@dataclass(frozen=True, kw_only=True)
class Claim:
    """dtype, scale = short names of floats, of the input (and output) and of the stored scale.

    scales = the values of the scale; none stands for every positive finite one of a 16-bit dtype. fp32 has too many
    scales to try them all, and inputs enough for a few of them. zero_points = codes; in the FLOAT domain the zero point
    of code k is R(k * scale), in units that follow the scale. mapping acts where qparams are chosen. beside = values
    that share a group of two with every input; none stands for every ordered pair of a 16-bit dtype. Raises ValueError
    for a dtype that cannot be enumerated, for a zero point beyond the grid, and for a scheme without meaning.
    """

    step: Step
    a: Party
    b: Party
    dtype: str = "bf16"
    scale: str = "bf16"
    scales: tuple[float, ...] = ()
    domain: ZeroPointDomain = ZeroPointDomain.INT
    bits: int = 4
    zero_points: tuple[int, ...] = (0,)
    mapping: Mapping = Mapping.SYMMETRIC
    beside: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        self._check_dtypes()
        if replace(self.a, name=self.b.name) == self.b:
            raise ValueError(
                f"{self.a.name} and {self.b.name} are the same rules, so there is nothing to prove; name a decision, "
                "or hold it against oracle or stored"
            )
        paths, trip = (self.a.path, self.b.path), self.step is Step.ROUND_TRIP
        if Path.STORED in paths and self.step is not Step.FAKE_QUANTIZE:
            raise ValueError(f"stored is a way to fake-quantize, and the step is {self.step}; use fake_quantize")
        if (Path.FUSED in paths) and not trip:
            raise ValueError(
                f"fused kernels choose the qparams themselves, and the step is {self.step}; use round_trip"
            )
        if trip and {*paths} & {Path.ORACLE, Path.FUNCTIONS}:
            raise ValueError(f"{self.b.name} takes single steps; hold it against round_trip's steps one by one")
        beyond = [z for z in self.zero_points if not self.grid[0] <= z <= self.grid[1]]
        if beyond:
            raise ValueError(f"zero point {beyond[0]} is not in the grid [{self.grid[0]}, {self.grid[1]}]")
        for party in (self.a, self.b):
            self.scheme(party)

    @property
    def chooses(self) -> bool:
        """Whether qparams are chosen, and not given."""
        return self.step in (Step.CHOOSE_QPARAMS, Step.ROUND_TRIP)

    def _check_dtypes(self) -> None:
        for name, dtype in (("dtype", self.dtype), ("scale", self.scale)):
            if DTYPES.get(dtype) in ENUMERABLE:
                continue
            if dtype != "fp32" or (self.chooses and name == "dtype" and not self.beside):
                raise ValueError(f"{name} is {dtype!r}; only bf16 and fp16 have few enough values to try them all")
            if not (self.scales or self.chooses):
                raise ValueError(
                    f"{name} is 'fp32', whose scales are too many to try them all; name some, as --at-scale 0x1.8p-3,1"
                )
        if self.scales and self.chooses:
            raise ValueError(f"the step {self.step} makes scales of its own; leave --at-scale out")
        if self.beside and self.step is not Step.ROUND_TRIP:
            raise ValueError(f"the step {self.step} has no groups of two; leave --beside out, or use round_trip")
        for scale in self.scales:
            stored = torch.tensor(scale, dtype=torch.float64).to(self.scale_dtype).item()
            if not (0 < scale == stored < torch.inf):
                ends = torch.finfo(self.scale_dtype)
                nearest = min(max(ends.smallest_normal * ends.eps, stored), ends.max)
                raise ValueError(
                    f"scale {scale!r} is no positive finite {self.scale}; the nearest is {hexadecimal(nearest)}"
                )

    @property
    def grid(self) -> tuple[int, int]:
        """(qmin, qmax)."""
        return grid_of(self.domain, self.bits)

    @property
    def torch_dtype(self) -> torch.dtype:
        return DTYPES[self.dtype]

    @property
    def scale_dtype(self) -> torch.dtype:
        return DTYPES[self.scale]

    def scheme(self, party: Party) -> ResolvedScheme:
        """What a party carries out: a row is a group; in CHOOSE_QPARAMS a column is."""
        qmin, qmax = self.grid
        asymmetric = self.domain is ZeroPointDomain.FLOAT
        stored: dict[ZeroPointDomain, Any] = {
            ZeroPointDomain.INT: torch.int32,
            ZeroPointDomain.FLOAT: self.torch_dtype,
            ZeroPointDomain.NONE: None,
        }
        return TensorScheme(
            bits=self.bits,
            qmin=qmin,
            qmax=qmax,
            granularity=PerAxis(1 if self.step is Step.CHOOSE_QPARAMS else 0),
            mapping=Mapping.ASYMMETRIC if asymmetric else self.mapping if self.chooses else Mapping.SYMMETRIC,
            preserve_zero=not asymmetric,
            zero_point_domain=self.domain,
            zero_point_dtype=stored[self.domain],
            scale_dtype=self.scale_dtype,
            eps=EpsOf(EpsProperty.SMALLEST_NORMAL, PropertyDtype.NARROWER_SCALE),
            rules=party.rules,
        ).resolved(self.torch_dtype)

    @cached_property
    def id(self) -> str:
        """`quantize:engine,code_division=reciprocal_multiply~engine:bf16,scale:bf16,int,4bit,z:0`."""
        parts = [self.dtype, f"scale:{self.scale}", self.domain.value, f"{self.bits}bit"]
        if self.chooses:
            parts.append(self.mapping.value)
        elif self.domain is not ZeroPointDomain.NONE:
            parts.append(f"z:{_span(self.zero_points)}")
        if self.scales:
            parts.append(f"s:{'+'.join(map(hexadecimal, self.scales))}")
        if self.beside:
            parts.append(f"beside:{'+'.join(map(hexadecimal, self.beside))}")
        return f"{self.step}:{self.a.name}~{self.b.name}:{','.join(parts)}"


def grid_of(domain: ZeroPointDomain, bits: int) -> tuple[int, int]:
    """(qmin, qmax) of a claim: unsigned in the FLOAT domain, signed otherwise."""
    return (0, 2**bits - 1) if domain is ZeroPointDomain.FLOAT else signed_grid(bits)


def _span(zero_points: tuple[int, ...]) -> str:
    """-8..7 of a run of codes, else each of them."""
    run = len(zero_points) > 2 and zero_points == tuple(range(zero_points[0], zero_points[-1] + 1))
    return f"{zero_points[0]}..{zero_points[-1]}" if run else "+".join(map(str, zero_points))
