"""What torchao 0.18's public flows have no word for, scheme by scheme: the sentences of NotExpressible."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import torch

from parity.backends.torchao_cells import LEGACY, TORCHAO
from parity.lanes import Flow
from quant import Mapping, Packing, PerAxis, PerGroup, PerToken, QuantScheme, TensorScheme, ZeroPointDomain
from quant.mapping import Extent

STORED_SCALES: Final = (torch.float32, torch.bfloat16, torch.float16)
LEGACY_EPS: Final = 2.0**-23


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """A scheme resolved against a layer's dtype, and the lane that is to carry it out.

    `activation` is None for weight-only schemes and for an embedding, which has no activation; `columns` = the length
    of the weight's rows; `trained` = training steps lie between prepare and what follows.
    """

    backend: str
    flow: Flow
    dtype: torch.dtype
    columns: int
    embedding: bool
    weight: TensorScheme
    activation: TensorScheme | None
    output_dtype: torch.dtype
    trained: bool = False
    packing: Packing | None = None

    @classmethod
    def of(
        cls, scheme: QuantScheme, layer: torch.nn.Module, *, backend: str, flow: Flow, trained: bool = False
    ) -> Wanted:
        """What a scheme wants of a layer; raises ValueError where the scheme has no meaning for its dtype."""
        weight = layer.weight
        assert isinstance(weight, torch.Tensor)
        embedding = isinstance(layer, torch.nn.Embedding)
        activation = None if embedding or scheme.activation is None else scheme.activation.resolved(weight.dtype)
        return cls(
            backend=backend,
            flow=flow,
            dtype=weight.dtype,
            columns=weight.shape[-1],
            embedding=embedding,
            weight=scheme.weight.resolved(weight.dtype),
            activation=activation,
            output_dtype=scheme.resolved_output_dtype(weight.dtype),
            trained=trained,
            packing=scheme.packing,
        )

    @property
    def own_eps(self) -> float:
        """The eps behind a config's None: the smallest normal number of the model's dtype."""
        return float(torch.finfo(self.dtype).smallest_normal)

    @property
    def group_size(self) -> int:
        """How many elements of a row share a scale."""
        granularity = self.weight.granularity
        return granularity.size if isinstance(granularity, PerGroup) else self.columns


Test = Callable[[Wanted], bool]


def _on_activation(test: Callable[[Wanted, TensorScheme], bool]) -> Test:
    return lambda wanted: wanted.activation is not None and test(wanted, wanted.activation)


def _in_float_domain(wanted: Wanted) -> bool:
    return wanted.weight.zero_point_domain == ZeroPointDomain.FLOAT


def _trains_floats(wanted: Wanted) -> bool:
    return wanted.backend == TORCHAO and wanted.flow is Flow.QAT_PREPARE


def _plain(scheme: TensorScheme) -> bool:
    """One level of scales that its dtype computes in, from the extremes of a range."""
    narrow = scheme.global_scale_dtype is not None or scheme.scale_dtype == torch.float8_e4m3fn
    return not narrow and scheme.extent is Extent.MIN_MAX


def _off_grid(wanted: Wanted) -> bool:
    """Neither intN in the int domain nor uintN in the float domain."""
    scheme, half = wanted.weight, 2 ** (wanted.weight.bits - 1)
    lowest = 0 if _in_float_domain(wanted) else -half
    return scheme.bits > 8 or (scheme.qmin, scheme.qmax) != (lowest, lowest + 2 * half - 1)


def _unknown_scales(side: str) -> str:
    return (
        f"the {side}'s scales are {{w.{side}.scale_dtype}} under {{w.{side}.global_scale_dtype}}, of a range of "
        f"{{w.{side}.extent}}, but torchao's affine scales have one level, 16 bits or more, and come from extremes"
    )


# Each test is asked only where the ones before it said no. The sentences may name any part of `Wanted`.
_EVERYWHERE: Final[tuple[tuple[Test, str], ...]] = (
    (lambda w: not _plain(w.weight), _unknown_scales("weight")),
    (_on_activation(lambda w, a: not _plain(a)), _unknown_scales("activation")),
    (
        lambda w: w.weight.zero_point_domain == ZeroPointDomain.NONE or (_in_float_domain(w) and not _trains_floats(w)),
        "the weight's zero_point_domain is {w.weight.zero_point_domain}, but torchao's intx zero points are integers",
    ),
    (
        lambda w: not w.weight.preserve_zero and not _in_float_domain(w),
        "the weight's preserve_zero is False, but torchao's intx weights widen every range to hold zero",
    ),
    (
        lambda w: w.weight.preserve_zero and _in_float_domain(w),
        "the weight's preserve_zero is True, but torchao's qparams of the float domain take the range as it is",
    ),
    (
        _off_grid,
        "the weight's grid is [{w.weight.qmin}, {w.weight.qmax}], but torchao's are those of int1 to int8, or of uint1 "
        "to uint8 in the float domain",
    ),
    (
        lambda w: w.weight.granularity != PerAxis(0) and not isinstance(w.weight.granularity, PerGroup),
        "the weight's granularity is {w.weight.granularity}, but torchao scales intx weights per group or per channel",
    ),
    (
        lambda w: w.group_size == 1,
        "one element has a scale of its own, but torchao takes such blocks for one that spans the tensor",
    ),
    (
        lambda w: w.weight.zero_point_dtype != torch.int8 and not _in_float_domain(w),
        "the weight's zero_point_dtype is {w.weight.zero_point_dtype}, but torchao's intx weights store int8",
    ),
    (
        lambda w: w.weight.zero_point_dtype != w.weight.scale_dtype and _in_float_domain(w),
        "the weight's zero_point_dtype is {w.weight.zero_point_dtype}, but torchao casts a float zero point to the "
        "scale's dtype, {w.weight.scale_dtype}",
    ),
    (
        lambda wanted: wanted.packing is not None,
        "packing is {w.packing}, but torchao's packed layouts are read by kernels of other machines",
    ),
    (
        lambda w: w.output_dtype != w.dtype,
        "output_dtype is {w.output_dtype}, but torchao's layers return their weight's dtype, {w.dtype}",
    ),
    (
        _on_activation(lambda w, a: a.mapping != Mapping.ASYMMETRIC),
        "the activation's mapping is {w.activation.mapping}, but torchao quantizes activations asymmetrically",
    ),
    (
        _on_activation(
            lambda w, a: (
                (a.qmin, a.qmax, a.granularity, a.zero_point_domain, a.preserve_zero)
                != (-128, 127, PerToken(), ZeroPointDomain.INT, True)
            )
        ),
        "the activation is [{w.activation.qmin}, {w.activation.qmax}] {w.activation.granularity} in the domain "
        "{w.activation.zero_point_domain}, but torchao's is int8 per token with an integer zero point",
    ),
    (
        _on_activation(lambda w, a: a.zero_point_dtype != torch.int8),
        "the activation's zero_point_dtype is {w.activation.zero_point_dtype}, but torchao's PTQ stores int8",
    ),
)

_NO_FAKE_MAPPING: Final = (
    lambda w: w.weight.mapping == Mapping.SYMMETRIC_NO_CLIPPING,
    "the weight's mapping is {w.weight.mapping}, but torchao's fake quantizers know symmetric and asymmetric",
)

# What a PTQ config leaves out; the convert step takes one too.
_STORING: Final[tuple[tuple[Test, str], ...]] = (
    (
        lambda w: w.trained and w.weight.mapping == Mapping.ASYMMETRIC,
        "the weight's mapping is asymmetric and it is trained, but torchao's fake quantizer trains it through "
        "tinygemm's qparams, so another weight would be stored",
    ),
    (
        lambda w: w.weight.scale_dtype not in STORED_SCALES,
        "the weight's scale_dtype is {w.weight.scale_dtype}, but torchao stores scales in float32, bfloat16 or float16",
    ),
    (
        lambda w: w.weight.eps != w.own_eps,
        "the weight's eps is {w.weight.eps}, but torchao's PTQ configs use {w.own_eps} for {w.dtype}",
    ),
    (
        _on_activation(lambda w, a: a.scale_dtype != w.dtype),
        "the activation's scale_dtype is {w.activation.scale_dtype}, but torchao's PTQ uses the model's, {w.dtype}",
    ),
    (
        _on_activation(lambda w, a: a.eps != w.own_eps),
        "the activation's eps is {w.activation.eps}, but torchao's PTQ configs use {w.own_eps} for {w.dtype}",
    ),
)

# What Int8DynActInt4WeightQATQuantizer hard-codes. Where the scheme asks for the activation that torchao's configs give
# by default, float32 and 2**-23 take its place: that is how torchao reads a recipe that says nothing.
_LEGACY: Final[tuple[tuple[Test, str], ...]] = (
    (
        lambda w: w.activation is None and not w.embedding,
        "the activation is not quantized, but Int8DynActInt4WeightQATQuantizer always quantizes it",
    ),
    (
        lambda w: w.weight.bits != 4,
        "the weight has {w.weight.bits} bits, but the legacy QAT quantizers make int4 weights",
    ),
    (
        lambda w: w.weight.mapping != Mapping.SYMMETRIC,
        "the weight's mapping is {w.weight.mapping}, but the legacy QAT quantizers map symmetrically",
    ),
    (
        lambda w: w.weight.eps != w.own_eps,
        "the weight's eps is {w.weight.eps}, but the legacy QAT quantizers use {w.own_eps} for {w.dtype}",
    ),
    (
        _on_activation(lambda w, a: a.scale_dtype not in (torch.float32, w.dtype)),
        "the activation's scale_dtype is {w.activation.scale_dtype}, but the legacy QAT quantizer uses float32",
    ),
    (
        _on_activation(lambda w, a: a.eps not in (LEGACY_EPS, w.own_eps)),
        "the activation's eps is {w.activation.eps}, but the legacy QAT quantizer uses 2**-23",
    ),
)


def gap(wanted: Wanted) -> str | None:
    """The first thing wanted that torchao's public flow of that lane cannot be told, as a sentence, or None."""
    for test, sentence in (*_EVERYWHERE, *_of_lane(wanted)):
        if test(wanted):
            return sentence.format(w=wanted)
    return None


def _of_lane(wanted: Wanted) -> tuple[tuple[Test, str], ...]:
    if wanted.backend == LEGACY:
        return _LEGACY
    assert wanted.backend == TORCHAO
    through_prepare = wanted.flow is not Flow.PTQ or wanted.trained
    stores = wanted.flow is not Flow.QAT_PREPARE
    return (*((_NO_FAKE_MAPPING,) if through_prepare else ()), *(_STORING if stores else ()))
