"""The QuantScheme a cell means under a rule set: its preset, with every axis that differs put in its place."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import lru_cache
from typing import Any, Final

import torch

import quant
from parity.axes import MULTIPLYING, OPERATIONS, PRESET
from parity.cells import Cell, zero_point_dtype
from quant import EpsOf, EpsProperty, PerAxis, PerBlock, PerGroup, PerRow, PerTensor, PropertyDtype
from quant.burn_rules import BURN_3042_FULL, BURN_3042_HALF
from quant.decisions import NanCode
from quant.granularity import Granularity
from quant.mapping import Extent
from quant.presets import signed_grid, stretched_grid
from quant.rule_sets import ENGINE_PRODUCT, narrow_scales, stretched
from quant.scheme import MODEL
from quant.statistic import Statistic

DTYPES: Final[Mapping[str, torch.dtype]] = {
    "fp32": torch.float32,
    "bf16": torch.bfloat16,
    "fp16": torch.float16,
    "fp64": torch.float64,
    "int8": torch.int8,
    "uint8": torch.uint8,
    "int16": torch.int16,
    "int32": torch.int32,
    "int64": torch.int64,
}
_NARROW: Final[Mapping[str, Mapping[str, torch.dtype]]] = {
    "ue4m3": {"scale_dtype": torch.float8_e4m3fn},
    "two_level": {"scale_dtype": torch.float8_e4m3fn, "global_scale_dtype": torch.float32},
}
_EPS: Final[Mapping[str, EpsOf | float]] = {
    "normal": EpsOf(EpsProperty.SMALLEST_NORMAL, PropertyDtype.NARROWER_SCALE),
    "input_normal": EpsOf(EpsProperty.SMALLEST_NORMAL, PropertyDtype.INPUT),
    "input_eps": EpsOf(EpsProperty.EPS, PropertyDtype.INPUT),
    "f32eps": EpsOf(EpsProperty.EPS, PropertyDtype.FLOAT32),
    "bf16eps": EpsOf(EpsProperty.EPS, PropertyDtype.BFLOAT16),
    "1e-3": 1e-3,
}
_GRANULARITIES: Final[Mapping[str, Granularity]] = {
    "16": PerGroup(16),
    "32": PerGroup(32),
    "64": PerGroup(64),
    "channel": PerAxis(0),
    "tensor": PerTensor(),
    "row": PerRow(),
    "block": PerBlock((2, 16)),
}
_PACKINGS: Final[Mapping[str, quant.Packing | None]] = {
    "none": None,
    "nibbles": quant.Packing.nibbles("low_first"),
    "nibbles_high": quant.Packing.nibbles("high_first"),
    **{f"cpu_int4_{order}": quant.Packing.cpu_int4(order) for order in ("avx512", "avx2", "scalar")},
    **{f"cuda_tiled_{tiles}": quant.Packing.cuda_tiled(tiles) for tiles in (2, 4)},
    "xpu_int4": quant.Packing.xpu_int4(),
}
_PRODUCTS: Final[Mapping[str, quant.ProductRules]] = {
    "native": quant.ProductRules(),
    "exact": ENGINE_PRODUCT,
    "full": BURN_3042_FULL,
    "half": BURN_3042_HALF,
    "int32": quant.ProductRules().with_values(
        product_operands="codes", accumulate="int32", bias_add="before_output_cast"
    ),
}
_STATISTICS: Final[Mapping[str, Statistic]] = {"static": quant.MinMax(), "learned": quant.Learned()}
_MAPPINGS: Final[Mapping[str, quant.Mapping]] = {
    "symmetric": quant.Mapping.SYMMETRIC,
    "no_clipping": quant.Mapping.SYMMETRIC_NO_CLIPPING,
    "asymmetric": quant.Mapping.ASYMMETRIC,
    "stretched": quant.Mapping.STRETCHED,
}


def scheme_of(cell: Cell, rules: str = "engine") -> quant.QuantScheme:
    """The cell's scheme under a named rule set, whose own defaults stand wherever an axis says "preset".

    A set that refuses a NaN gives it the code 0 here: a lane that stops is compared with none. Raises ValueError when
    the combination has no meaning: an illegal cell ends here, or at the tensor's shape.
    """
    return _scheme(cell.configuration, rules)


@lru_cache(maxsize=16384)
def _scheme(cell: Cell, rules: str) -> quant.QuantScheme:
    preset: Callable[..., quant.QuantScheme] = getattr(quant.presets, cell["preset"])
    scheme = preset(rules=rules)
    if cell["act"] == "none":
        scheme = replace(scheme, activation=None)
    elif cell["act"] != PRESET:
        donor: quant.TensorScheme | None
        if cell["act"] == "tensor":
            donor = quant.presets.burn_3042(rules=rules).weight
        elif cell["act"] in _STATISTICS:
            donor = quant.presets.int8_static_intx_weight(statistic=_STATISTICS[cell["act"]], rules=rules).activation
        else:
            mapping = _MAPPINGS[cell["act"]]
            donor = quant.presets.int8_dynamic_intx_weight(rules=rules, activation_mapping=mapping).activation
        assert donor is not None
        if scheme.activation is not None:  # a preset's own dtype and eps outlive a change of mapping
            donor = replace(donor, scale_dtype=scheme.activation.scale_dtype, eps=scheme.activation.eps)
        scheme = replace(scheme, activation=donor)
    if scheme.activation is not None:
        scheme = replace(scheme, activation=replace(scheme.activation, **_given(cell, scale="ascale", eps="aeps")))
    base = quant.rules_named(rules)[0]
    weight = _answering(replace(scheme.weight, **_weight_changes(cell, scheme.weight, base)))
    activation = None if scheme.activation is None else _answering(scheme.activation)
    return replace(
        scheme,
        weight=weight,
        activation=weight if cell["op"] in OPERATIONS else activation,
        product=_product(cell, scheme.product),
        packing=_PACKINGS[cell["packing"]],
        propagation=quant.Propagation(cell["propagation"]),
    )


def _answering(tensor: quant.TensorScheme) -> quant.TensorScheme:
    refuses = tensor.rules.nan_code is NanCode.RAISE
    return replace(tensor, rules=tensor.rules.with_values(nan_code="zero")) if refuses else tensor


def _product(cell: Cell, product: quant.ProductRules) -> quant.ProductRules:
    """How the operands meet; an operation that multiplies nothing has no rules of it."""
    if cell["op"] in OPERATIONS and cell["op"] not in MULTIPLYING:
        return quant.ProductRules()
    return _PRODUCTS[cell["accumulate"]] if cell["op"] in MULTIPLYING and cell["accumulate"] != PRESET else product


def _given(cell: Cell, *, scale: str, eps: str) -> dict[str, Any]:
    """scale_dtype and eps of one operand, where the cell names them."""
    changes: dict[str, Any] = {}
    if cell[scale] in _NARROW:
        changes |= _NARROW[cell[scale]]
    elif cell[scale] != PRESET:
        changes["scale_dtype"] = MODEL if cell[scale] == MODEL else DTYPES[cell[scale]]
    if cell[eps] != PRESET:
        changes["eps"] = _EPS[cell[eps]]
    return changes


def _weight_changes(cell: Cell, weight: quant.TensorScheme, rules: quant.Rules) -> dict[str, Any]:
    """The fields of the weight's scheme that the cell's axes change; grid, extent, Z and rules follow bits, domain and
    mapping.
    """
    changes = _given(cell, scale="scale", eps="eps")
    if cell["group"] != PRESET:
        changes["granularity"] = _GRANULARITIES[cell["group"]]
    mapping = weight.mapping if cell["mapping"] == PRESET else _MAPPINGS[cell["mapping"]]
    halves = mapping is quant.Mapping.STRETCHED
    changes["mapping"] = mapping
    if halves:
        changes |= {"extent": Extent.CAPPED_ABS_MEAN, "rules": stretched(rules)}
    elif weight.mapping is quant.Mapping.STRETCHED:
        changes |= {"extent": Extent.MIN_MAX, "rules": rules}
    if cell["scale"] in _NARROW:
        changes["rules"] = narrow_scales(changes.get("rules", weight.rules))
    if cell["pz"] != PRESET:
        changes["preserve_zero"] = cell["pz"] == "yes"
    domain = weight.zero_point_domain if cell["domain"] == PRESET else quant.ZeroPointDomain(cell["domain"])
    bits = weight.bits if cell["bits"] == PRESET else int(cell["bits"])
    unsigned = domain == quant.ZeroPointDomain.FLOAT
    qmin, qmax = stretched_grid(bits) if halves else (0, 2**bits - 1) if unsigned else signed_grid(bits)
    signed = weight.mapping is not quant.Mapping.STRETCHED and not halves and not unsigned
    if signed and weight.qmin == -weight.qmax:
        qmin = -qmax
    changes |= {"zero_point_domain": domain, "bits": bits, "qmin": qmin, "qmax": qmax}
    if cell["zp"] != PRESET:
        changes["zero_point_dtype"] = DTYPES[cell["zp"]]
    elif (mapping, domain) != (weight.mapping, weight.zero_point_domain):
        changes["zero_point_dtype"] = {"int8": torch.int8, "model": MODEL, "absent": None}[
            zero_point_dtype(mapping.value, domain.value)
        ]
    return changes
