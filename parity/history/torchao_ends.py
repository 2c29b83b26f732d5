"""torchao's own history, third part: outputs, and bugs that no decision is behind, which must come out unexplained."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

import torch
from torch import Tensor

from parity.history.case import HistoryCase
from parity.history.schemes import BF16, FP32, int4_weight, int8_dynamic, int8_weight
from quant import PerAxis, QuantScheme

NATIVE: Final = {"accumulate": "native"}


def _code_product() -> QuantScheme:
    """int8 codes of both operands, multiplied as integers, in fp32 under an fp32 scale."""
    own = int8_dynamic(symmetric=True, scale_dtype=FP32)
    product = own.product.with_values(product_operands="codes", accumulate="int32", bias_add="after_output_cast")
    return replace(own, weight=replace(own.weight, granularity=PerAxis(0), scale_dtype=FP32), product=product)


def _native(scheme: QuantScheme) -> QuantScheme:
    return replace(scheme, product=scheme.product.with_values(**NATIVE))


def _uninitialised(scale: Tensor) -> Tensor:
    return torch.full_like(scale, torch.nan)


def _forgotten(scale: Tensor) -> Tensor:
    """Scales chosen anew, where learned ones (here: an eighth greater) were to be kept."""
    return scale * 1.125


def _drifted(zero_point: Tensor) -> Tensor:
    return zero_point + 3


def _kept_dimension(scale: Tensor) -> Tensor:
    return scale.unsqueeze(-1)


def _nibbles_swapped(codes: Tensor) -> Tensor:
    """Every two codes of a row in each other's place."""
    return codes.reshape(*codes.shape[:-1], -1, 2).flip(-1).reshape(codes.shape)


_OUTPUTS: Final = (
    HistoryCase(
        name="ao-09-output-in-the-indices'-dtype",
        origin="ao#2085",
        told="the converted embedding casts its rows to the dtype of its indices",
        dtype=FP32,
        scheme=int4_weight(),
        output_dtype=torch.int64,
        embedding=True,
        first_stage="output",
    ),
    HistoryCase(
        name="ao-12-module-in-fp32",
        origin="ao#2085",
        told="the QAT embedding is made without a dtype, so it is fp32",
        dtype=BF16,
        scheme=int4_weight(),
        layer={"output_dtype": FP32},
        embedding=True,
        first_stage="output",
    ),
    HistoryCase(
        name="ao-29-promoted-output",
        origin="ao#534",
        told="the sum meets an fp32 scale and is promoted with it",
        dtype=BF16,
        scheme=_code_product(),
        layer={"product_output": "promoted"},
        first_stage="output",
        alike={"scheme.output_dtype": "promoted with fp32 scales, the sum is fp32"},
    ),
    HistoryCase(
        name="ao-41-bias-dropped",
        origin="ao#1845",
        told="the converted layer has no bias",
        dtype=FP32,
        scheme=int4_weight(),
        layer={"bias_add": "none"},
        first_stage="output",
    ),
    HistoryCase(
        name="ao-49-matmul-precision",
        origin="ao#4643",
        told="a call sets the global matmul precision, and unrelated products are cut to TF32",
        dtype=FP32,
        scheme=_native(int4_weight()),
        layer={"operand_precision": "tf32"},
        first_stage="output",
    ),
)

_WITHOUT_CAUSE: Final = (
    HistoryCase(
        name="ao-14-buffers-uninitialised",
        origin="ao#2024",
        told="convert stores qparams under other names, and the buffers keep what memory held",
        dtype=FP32,
        scheme=int4_weight(),
        spoiled={"weight.scale": _uninitialised},
        first_stage="weight.scale",
    ),
    HistoryCase(
        name="ao-37-learned-scale-dropped",
        origin="ao#3022",
        told="convert chooses qparams anew and drops the learned ones",
        dtype=FP32,
        scheme=int4_weight(),
        spoiled={"weight.scale": _forgotten},
        first_stage="weight.scale",
    ),
    HistoryCase(
        name="ao-38-zero-point-learned",
        origin="ao#2739",
        told="a symmetric mapping's zero point is learned, too, and drifts from 0",
        dtype=FP32,
        scheme=int4_weight(),
        spoiled={"weight.zero_point": _drifted},
        first_stage="weight.zero_point",
    ),
    HistoryCase(
        name="ao-42-nibble-order",
        origin="ao#517",
        told="the packer's input changes from int32 to pairs of nibbles: columns change places",
        dtype=FP32,
        scheme=int4_weight(),
        spoiled={"weight.codes": _nibbles_swapped},
        first_stage="weight.codes",
    ),
    HistoryCase(
        name="ao-46-scale-shape",
        origin="ao#2253",
        told="a scale keeps a dimension of size 1",
        dtype=FP32,
        scheme=int8_weight(),
        spoiled={"weight.scale": _kept_dimension},
        first_stage="weight.scale",
    ),
    HistoryCase(
        name="ao-50-scale-shape",
        origin="ao#3447",
        told="the same in another reshape",
        dtype=BF16,
        scheme=int4_weight(),
        spoiled={"weight.scale": _kept_dimension},
        first_stage="weight.scale",
    ),
    HistoryCase(
        name="ao-52-wrong-scale",
        origin="ao#3835",
        told="a convolution on x86 uses another tensor's scale",
        dtype=FP32,
        scheme=int8_weight(),
        spoiled={"weight.scale": lambda scale: scale.flip(0)},
        first_stage="weight.scale",
    ),
)

TORCHAO_ENDS: Final = (*_OUTPUTS, *_WITHOUT_CAUSE)
