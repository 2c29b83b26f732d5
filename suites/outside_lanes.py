"""Quantization as somebody else writes it: three functions of plain torch, with the slips that such code has.

Nothing of the engine's arithmetic is used, and no slip is stated as a rule: what they come to, the harness has to say.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Final

import torch
from torch import Tensor

from parity.backends.functions import FunctionsBackend, backend_from_functions
from quant import Mapping, QuantScheme, presets

GROUP: Final = 32
FP32, BF16, FP16 = torch.float32, torch.bfloat16, torch.float16
SYMMETRIC: Final = presets.intx_weight_only(bits=4, group_size=GROUP)
ASYMMETRIC: Final = presets.intx_weight_only(bits=8, group_size=GROUP, mapping=Mapping.ASYMMETRIC)

Step = Callable[[Tensor], Tensor]


def grouped(x: Tensor) -> Tensor:
    return x.reshape(x.shape[0], -1, GROUP)


def half_away(t: Tensor) -> Tensor:
    return t.trunc() + (2 * t.frac()).trunc()


def choose(
    x: Tensor,
    scheme: Any,
    *,
    dtype: torch.dtype = FP32,
    reach_of: Step = lambda reach: reach,
    bounded: Callable[[Tensor, float], Tensor] = lambda scale, eps: scale.clamp(min=eps),
    eps_on_range: bool = False,
    levels: float = 0.0,
    with_zero: bool = True,
    stored: Step | None = None,
    from_max: bool = False,
    rounding: Step = torch.round,
    clamped: bool = True,
) -> tuple[Tensor, Tensor]:
    """Scale and zero point of min and max; levels in place of those that the grid has."""
    values = grouped(x).to(dtype)
    low, high = values.amin(-1), values.amax(-1)
    if with_zero:
        low, high = low.clamp(max=0), high.clamp(min=0)
    asymmetric, span = scheme.mapping is Mapping.ASYMMETRIC, scheme.qmax - scheme.qmin
    reach = reach_of(high - low if asymmetric else torch.maximum(-low, high))
    if eps_on_range:
        scale = reach.clamp(min=scheme.eps) / (levels or (span if asymmetric else span / 2))
    else:
        scale = bounded(reach / (levels or (span if asymmetric else span / 2)), scheme.eps)
    wide, scale = scale, scale.to(scheme.scale_dtype) if stored is None else stored(scale)
    if not asymmetric:
        return scale, torch.zeros_like(scale, dtype=torch.int8)
    end, code = (high, scheme.qmax) if from_max else (low, scheme.qmin)
    zero_point = code - rounding(end / wide)
    return scale, (zero_point.clamp(scheme.qmin, scheme.qmax) if clamped else zero_point).to(torch.int8)


def quantize(
    x: Tensor,
    scale: Tensor,
    zero_point: Tensor,
    scheme: Any,
    *,
    dtype: torch.dtype = FP32,
    rounding: Step = torch.round,
    add_first: bool = False,
) -> Tensor:
    quotient = grouped(x).to(dtype) / scale.unsqueeze(-1).to(dtype)
    offset = zero_point.unsqueeze(-1)
    codes = rounding(quotient + offset) if add_first else rounding(quotient) + offset
    return codes.clamp(scheme.qmin, scheme.qmax).nan_to_num(0).to(torch.int8).reshape(x.shape)


def dequantize(
    codes: Tensor,
    scale: Tensor,
    zero_point: Tensor,
    scheme: Any,
    output: torch.dtype,
    *,
    distance_in: torch.dtype = torch.int32,
    dtype: torch.dtype = FP32,
) -> Tensor:
    distance = grouped(codes).to(distance_in) - zero_point.unsqueeze(-1).to(distance_in)
    return (distance.to(output).to(dtype) * scale.unsqueeze(-1).to(dtype)).to(output).reshape(codes.shape)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Slip:
    """One lane's functions in place of the engine's, and what is to be said of it; no cause: no decision says it."""

    name: str
    functions: dict[str, Any]
    stage: str
    causes: frozenset[tuple[str, str, str]] = frozenset()
    scheme: QuantScheme = SYMMETRIC
    dtype: torch.dtype = FP32

    @property
    def backend(self) -> FunctionsBackend:
        return backend_from_functions("outside", **self.functions)


def choose_once(x: Tensor, scheme: Any) -> tuple[Tensor, Tensor]:
    """One scale for the whole tensor, written into every group."""
    scale = (x.float().abs().amax() / 7.5).clamp(min=scheme.eps).expand(len(x), x.shape[1] // GROUP).contiguous()
    return scale, torch.zeros_like(scale, dtype=torch.int8)


def _weight(scheme: QuantScheme, **values: Any) -> QuantScheme:
    return replace(scheme, weight=replace(scheme.weight, **values))


def _choosing(**slip: Any) -> dict[str, Any]:
    return {"choose_qparams": partial(choose, **slip)}


def _quantizing(**slip: Any) -> dict[str, Any]:
    return {"quantize": partial(quantize, **slip)}


def _dequantizing(**slip: Any) -> dict[str, Any]:
    return {"dequantize": partial(dequantize, **slip)}


def _told(*causes: tuple[str, str, str]) -> frozenset[tuple[str, str, str]]:
    return frozenset(causes)


# A decision of the rules, written as code.
DECISIONS: Final = (
    Slip(
        name="the zero point is computed from max",
        functions=_choosing(from_max=True),
        scheme=ASYMMETRIC,
        stage="weight.zero_point",
        causes=_told(("zero_point_rule", "from_min", "from_max")),
    ),
    Slip(
        name="the zero point is rounded half away",
        functions=_choosing(rounding=half_away),
        scheme=ASYMMETRIC,
        stage="weight.zero_point",
        causes=_told(("zero_point_rounding", "half_even", "half_away")),
    ),
    Slip(
        name="the range need not hold zero, and the zero point is not clamped",
        functions=_choosing(with_zero=False, clamped=False),
        scheme=ASYMMETRIC,
        stage="weight.scale",
        causes=_told(("scheme.preserve_zero", "True", "False"), ("zero_point_clamp", "clamp", "none")),
    ),
    Slip(
        name="the range is divided by half of the levels",
        functions=_choosing(levels=8.0),
        stage="weight.scale",
        causes=_told(("symmetric_scale", "half_span", "half_levels")),
    ),
    Slip(
        name="eps bounds the range",
        functions=_choosing(eps_on_range=True),
        scheme=_weight(SYMMETRIC, eps=0.01),
        stage="weight.scale",
        causes=_told(("eps_target", "scale", "range")),
    ),
    Slip(
        name="one scale serves every group",
        functions={"choose_qparams": choose_once},
        stage="weight.scale",
        causes=_told(("scheme.granularity", "PerGroup(size=32)", "PerTensor()")),
    ),
    Slip(
        name="codes are cut",
        functions=_quantizing(rounding=torch.trunc),
        dtype=BF16,
        stage="weight.codes",
        causes=_told(("code_rounding", "half_even", "truncate")),
    ),
    Slip(
        name="codes are computed in the model's dtype",
        functions=_quantizing(dtype=BF16),
        dtype=BF16,
        stage="weight.codes",
        causes=_told(("code_dtype", "float32", "input")),
    ),
    Slip(
        name="the zero point is added first, and the sum cut",
        functions=_quantizing(add_first=True, rounding=torch.trunc),
        scheme=ASYMMETRIC,
        stage="weight.codes",
        causes=_told(("code_rounding", "half_even", "truncate"), ("zero_point_add", "after_round", "before_round")),
    ),
    Slip(
        name="values are multiplied in the output's dtype",
        functions=_dequantizing(dtype=BF16),
        dtype=BF16,
        stage="weight.dequantized",
        causes=_told(("rescale_dtype", "float32", "output")),
    ),
)

# What no field of the rules says.
BEYOND: Final = (
    Slip(
        name="eps is added",
        functions=_choosing(bounded=lambda scale, eps: scale + eps),
        scheme=_weight(SYMMETRIC, eps=1e-6),
        stage="weight.scale",
    ),
    Slip(
        name="the scale is rounded to bf16 and then to fp16",
        functions=_choosing(stored=lambda scale: scale.to(BF16).to(FP16)),
        scheme=_weight(SYMMETRIC, scale_dtype=FP16),
        stage="weight.scale",
    ),
    Slip(
        name="the scale is computed in fp16 and widened",
        functions=_choosing(dtype=FP16, stored=lambda scale: scale.float()),
        stage="weight.scale",
    ),
    Slip(
        name="the range is clipped to 97 %",
        functions=_choosing(reach_of=lambda reach: 0.97 * reach),
        stage="weight.scale",
    ),
    Slip(
        name="scales are powers of two",
        functions=_choosing(stored=lambda scale: torch.exp2(torch.ceil(torch.log2(scale)))),
        stage="weight.scale",
    ),
    Slip(
        name="codes are rounded down",
        functions=_quantizing(rounding=torch.floor),
        stage="weight.codes",
    ),
    Slip(
        name="code minus zero point wraps in int8",
        functions=_dequantizing(distance_in=torch.int8),
        scheme=ASYMMETRIC,
        dtype=BF16,
        stage="weight.dequantized",
    ),
)
