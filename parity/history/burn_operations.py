"""Burn's divergences in operations on quantized tensors, as contracts: open in August 2026, or mended since #3042.

Names begin with the place in Burn's study, as in `burn`, where its divergences in numbers are.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Final, cast

from torch import Tensor

from parity.history.burn_schemes import burn_layer
from parity.history.operating import Program
from parity.history.operation_case import OperationCase
from parity.history.schemes import FP32
from quant import Mapping, Propagation, QuantizedTensor, QuantScheme, ZeroPointDomain
from quant.burn_rules import BURN_3042 as MERGE
from quant.burn_rules import BURN_HEAD_FLEX as FLEX
from quant.burn_rules import BURN_HEAD_NDARRAY as NDARRAY
from quant.legality import INTEGER_DTYPES
from quant.mapping import Extent
from quant.quantized_tensor import BURN_3042, BURN_HEAD, BURN_HEAD_GPU, ENGINE


def _propagating(scheme: QuantScheme, **weight: Any) -> QuantScheme:
    return replace(scheme, propagation=Propagation.PROPAGATE, weight=replace(scheme.weight, **weight))


def _exported(w: Tensor, x: Tensor) -> Tensor:
    return cast(QuantizedTensor, w).exported()


_FLIPPED: Final = Program(of=lambda w, x: w.flip(0))
_TIMES: Final = Program(of=lambda w, x: x @ w.mT)

BURN_OPERATIONS: Final = (
    OperationCase(
        name="burn-8.1-1-scheme-lost",
        origin="burn, ndarray at #3042",
        told="a tensor that is saved and loaded propagates no more: its scheme is rebuilt of defaults",
        dtype=FP32,
        scheme=_propagating(burn_layer(MERGE)),
        program=Program(of=lambda w, x: _exported(w, x).square()),
        contract=BURN_3042,
        decisions={"exported_scheme": "defaults"},
        first_stage="output",
    ),
    OperationCase(
        name="burn-8.1-2-zero-point-dropped",
        origin="burn, LibTorch at #3042",
        told="what is saved of an affine tensor is its scale alone",
        dtype=FP32,
        scheme=_propagating(
            burn_layer(MERGE, blocks=False, qmin=-128),
            mapping=Mapping.ASYMMETRIC,
            zero_point_domain=ZeroPointDomain.INT,
            zero_point_dtype=INTEGER_DTYPES[0],
        ),
        program=Program(of=_exported),
        contract=BURN_3042,
        decisions={"exported_zero_point": "dropped"},
        first_stage="output.zero_point",
    ),
    OperationCase(
        name="burn-8.1-7-input-requantized",
        origin="burn#3637",
        told="float x quantized quantizes the left side, which nobody asked for",
        dtype=FP32,
        scheme=burn_layer(MERGE, blocks=False),
        program=_TIMES,
        contract=BURN_HEAD,
        decisions={"float_by_quantized": "requantized"},
        first_stage="output",
    ),
    OperationCase(
        name="burn-8.1-7-propagation-ignored",
        origin="burn#3874",
        told="quantized x float is float, whatever the propagation",
        dtype=FP32,
        scheme=_propagating(burn_layer(MERGE, blocks=False)),
        program=Program(of=lambda w, x: x @ w.mT, quantizes_weight=False),
        contract=BURN_HEAD,
        decisions={"mixed_product": "float"},
        first_stage="output",
    ),
    OperationCase(
        name="burn-8.2-1-transposed-quantized",
        origin="burn#4491",
        told="WGPU quantizes a transposed tensor as it lies in memory",
        dtype=FP32,
        scheme=burn_layer(NDARRAY),
        program=Program(of=lambda w, x: x @ w, laid=lambda w: w.t()),
        contract=BURN_HEAD_GPU,
        decisions={"source_order": "memory"},
        first_stage="weight.scale",
    ),
    OperationCase(
        name="burn-8.2-2-transposed-dequantized",
        origin="burn#5281",
        told="the words of a transposed tensor are taken apart along its last dimension",
        dtype=FP32,
        scheme=burn_layer(NDARRAY, blocks=False),
        program=Program(of=lambda w, x: w.t()),
        contract=BURN_HEAD_GPU,
        decisions={"packed_axis": "last"},
        first_stage="output",
    ),
    OperationCase(
        name="burn-8.3-1-drift",
        origin="burn, open in 2026",
        told="flex quantizes what it flips anew: a full-range maximum was clipped, and shrinks each time",
        dtype=FP32,
        scheme=burn_layer(FLEX, bits=4, qmin=-8),
        program=_FLIPPED,
        contract=BURN_HEAD,
        decisions={"layout_codes": "requantized"},
        first_stage="output.scale",
    ),
    OperationCase(
        name="burn-8.3-4-stale-block-scales",
        origin="burn, open in 2026",
        told="ndarray flips the codes of a tensor with blocks, and leaves the scales where they were",
        dtype=FP32,
        scheme=burn_layer(NDARRAY),
        program=_FLIPPED,
        contract=BURN_HEAD,
        decisions={"moved_scales": "in_place"},
        first_stage="output.scale",
    ),
    OperationCase(
        name="burn-8.3-5-argmax-across-blocks",
        origin="burn, open in 2026",
        told="argmax compares codes, also those of blocks with other scales",
        dtype=FP32,
        scheme=burn_layer(NDARRAY),
        program=Program(of=lambda w, x: w.argmax(0)),
        contract=BURN_HEAD,
        decisions={"compared": "codes"},
        first_stage="output",
    ),
    OperationCase(
        name="burn-8.3-6-whose-scheme",
        origin="burn, open in 2026",
        told="of two quantized sides, Q8S and Q8F, one backend goes on with the left scheme, the other with the right",
        dtype=FP32,
        scheme=_propagating(burn_layer(NDARRAY, blocks=False, qmin=-128, act=True)),
        program=_TIMES,
        contract=BURN_HEAD,
        decisions={"product_scheme": "left"},
        first_stage="output.scale",
    ),
    OperationCase(
        name="burn-8.3-10-mean-forgotten",
        origin="burn, open in 2026",
        told="a tensor that was calibrated by its mean is quantized anew by its extremes",
        dtype=FP32,
        scheme=_propagating(burn_layer(NDARRAY), extent=Extent.ABS_MEAN),
        program=Program(of=lambda w, x: w.abs()),
        contract=ENGINE,
        decisions={"requantized_range": "extremes"},
        first_stage="output.scale",
    ),
)
