"""What is wanted of one tensor, and of one layer: intent as frozen values, apart from how it is carried out."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from functools import lru_cache

import torch

from quant import layer_legality, legality
from quant.computed import qparam_dtype_of, read_scale_dtype
from quant.eps import EpsOf
from quant.granularity import Granularity, Stacked
from quant.mapping import Extent, Mapping, ZeroPointDomain
from quant.packing import Packing
from quant.product_rules import ProductRules
from quant.propagation import Propagation
from quant.remembered import Resolutions, untraced
from quant.rules import Rules
from quant.statistic import Own, Statistic

OWN = Own()
MODEL = "model"  # in place of a dtype: that of the tensor (or model) the scheme is resolved against


@dataclass(frozen=True, slots=True, kw_only=True)
class TensorScheme(Resolutions):
    """Intent for one tensor: the grid, who shares a scale, the mapping, and the dtypes of what is stored.

    `scale_dtype` and `zero_point_dtype` are torch dtypes or "model"; `eps` is a number or an `EpsOf`;
    `zero_point_dtype` is None exactly in the NONE domain. With a `global_scale_dtype` scales have two levels: what is
    stored of a group's scale is its ratio to one scale of the whole tensor. `preserve_zero=True` means that the range
    is widened to hold zero. `qmin` and `qmax` are halves when stretched, else integers. `resolved(dtype)` replaces
    every "model" and `EpsOf` by what it is for a tensor of that dtype.

    Raises ValueError, naming the fields, their values and what would be legal, for a combination without meaning.
    """

    bits: int
    qmin: float
    qmax: float
    granularity: Granularity
    statistic: Statistic = OWN
    extent: Extent = Extent.MIN_MAX
    mapping: Mapping = Mapping.SYMMETRIC
    preserve_zero: bool = True
    zero_point_domain: ZeroPointDomain = ZeroPointDomain.INT
    zero_point_dtype: torch.dtype | str | None = torch.int32
    scale_dtype: torch.dtype | str = MODEL
    global_scale_dtype: torch.dtype | None = None
    eps: float | EpsOf
    rules: Rules

    def __post_init__(self) -> None:
        legality.check_tensor_scheme(self)

    @property
    def midpoint(self) -> float:
        """(qmin + qmax + 1) / 2: the code of the range's middle; 0 for a signed grid, 8 for 0..15."""
        return (self.qmin + self.qmax + 1) / 2

    @property
    def constant_zero_point(self) -> float:
        """The zero point of a grid that computes none: -1/2 when stretched, else the range's middle as an integer."""
        return -0.5 if self.mapping is Mapping.STRETCHED else float(int(self.midpoint))

    @property
    def code_min(self) -> int:
        """The least code that is stored: qmin, moved by the zero point when stretched."""
        return int(self.qmin + self.constant_zero_point) if self.mapping is Mapping.STRETCHED else int(self.qmin)

    @property
    def code_max(self) -> int:
        """The greatest code that is stored: qmax, moved by the zero point when stretched."""
        return int(self.qmax + self.constant_zero_point) if self.mapping is Mapping.STRETCHED else int(self.qmax)

    def resolved(self, dtype: torch.dtype) -> ResolvedScheme:
        """This scheme for a tensor of `dtype` (fp32, bf16 or fp16), with no default left in it."""
        name = Resolutions.NAMES.get(dtype, "")
        if not hasattr(self, name):
            _resolve(self, dtype)
        resolved: ResolvedScheme = getattr(self, name)
        return resolved

    def stacked(self) -> TensorScheme:
        """This scheme for many cases stacked along a new first dimension."""
        return replace(self, granularity=Stacked(self.granularity))


@dataclass(frozen=True, slots=True, kw_only=True)
class ResolvedScheme(TensorScheme):
    """A TensorScheme in which every dtype and eps is concrete: what qparams carry, and what the arithmetic reads."""

    zero_point_dtype: torch.dtype | None
    scale_dtype: torch.dtype
    eps: float

    def __post_init__(self) -> None:
        legality.check_tensor_scheme(self)
        legality.check_concrete(self)


@untraced
def _resolve(scheme: TensorScheme, dtype: torch.dtype) -> None:
    """Keep in `scheme` what it is for a tensor of `dtype`."""
    legality.check_input_dtype(dtype)
    object.__setattr__(scheme, Resolutions.NAMES[dtype], _resolved(scheme, dtype))


@lru_cache(maxsize=4096)
def _resolved(scheme: TensorScheme, dtype: torch.dtype) -> ResolvedScheme:
    values = {f.name: getattr(scheme, f.name) for f in fields(TensorScheme)}
    for name in ("scale_dtype", "zero_point_dtype"):
        values[name] = dtype if values[name] == MODEL else values[name]
    if isinstance(scheme.eps, EpsOf):
        read = read_scale_dtype(values["scale_dtype"], scheme.global_scale_dtype)
        values["eps"] = scheme.eps.resolve(dtype, values["scale_dtype"], (qparam_dtype_of(scheme, dtype), read))
    resolved = ResolvedScheme(**values)
    legality.check_resolved(resolved, dtype)
    return resolved


@dataclass(frozen=True, slots=True, kw_only=True)
class QuantScheme:
    """Intent for one layer: its weight, its activation (None = stays float), its output and how operands meet.

    `output_dtype` is a torch dtype or "model" (the weight's dtype). `packing` says in which bytes a quantized layer
    keeps its codes; None = one integer a code. Raises ValueError when the two tensors' schemes and the product rules
    exclude each other; which layout takes which scheme is checked where a weight is quantized.
    `propagation` says what becomes of results computed from a QuantizedTensor of this scheme; a layer ignores it.
    """

    weight: TensorScheme
    activation: TensorScheme | None = None
    output_dtype: torch.dtype | str = MODEL
    product: ProductRules
    packing: Packing | None = None
    propagation: Propagation = Propagation.INHIBIT

    def __post_init__(self) -> None:
        layer_legality.check_quant_scheme(self)

    def resolved_output_dtype(self, weight_dtype: torch.dtype) -> torch.dtype:
        """The dtype of the layer's output for a weight of `weight_dtype`."""
        return self.output_dtype if isinstance(self.output_dtype, torch.dtype) else weight_dtype

    def stacked(self) -> QuantScheme:
        """This scheme for many cases stacked along a new first dimension."""
        activation = None if self.activation is None else self.activation.stacked()
        return replace(self, weight=self.weight.stacked(), activation=activation)
