"""Where each mutant is caught: for every field the few places that catch all of its mutants, tried in turn."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from parity.lanes import Flow
from suites.meta.planting import Place

_TINYGEMM: Final = "preset:int4_weight_only"
_STRETCHED: Final = "preset:stretched_intx_weight_only"
_CODES: Final = "group:channel,act:symmetric"
_NARROW: Final = "dtype:bf16,scale:bf16"
_TIES: Final = "dtype:bf16,scale:bf16,ascale:bf16,family:ties"

# (ground, cell), or several of them.
_PLACES: Final[Mapping[str, tuple[tuple[str, str], ...]]] = {
    "range_nan": (("engine", "family:specials"),),
    "mean_accumulate": (("engine", _STRETCHED), ("torchao", _STRETCHED)),
    "qparam_dtype": (("engine", "dtype:bf16"), ("torchao", "dtype:bf16"), ("engine", _TINYGEMM)),
    "symmetric_scale": (("engine", "default"),),
    "scalar_division": (("engine", "default"),),
    "eps_target": (("engine", "default"), ("replaced_scales", _TINYGEMM)),
    "eps_order": (("torchao", "default"),),
    "scale_rounding": (("engine", _NARROW),),
    "scale_overflow": (("engine", "scale:fp16"),),
    "zero_scale": (("engine", _TINYGEMM), ("replaced_scales", _TINYGEMM), ("without_eps", "default")),
    "zero_scale_at": (("replaced_scales", _TINYGEMM),),
    "zero_point_scale": (("engine", _TIES), ("replaced_scales", _TINYGEMM)),
    "zero_point_division": (("torchao", "dtype:bf16"),),
    "zero_point_rule": (("engine", "default"),),
    "zero_point_round_order": (("torchao", _TIES),),
    "zero_point_rounding": (("torchao", "dtype:bf16"),),
    "zero_point_clamp": (("replaced_scales", "scale:fp16,family:subnormal"),),
    "float_zero_point": (("engine", _TINYGEMM),),
    "zero_point_cast": (("cut_zero_points", _TINYGEMM),),
    "zero_point_offset": (("engine", "default"),),
    "code_scale": (("engine", _NARROW),),
    "code_dtype": (("engine", _NARROW), ("torchao", "dtype:bf16"), ("engine", "dtype:bf16"), ("engine", "default")),
    "code_division": (("engine", "default"), ("straight_through", "default")),
    "reciprocal_dtype": (("replaced_scales", "scale:fp16"),),
    "float_code_division": (("engine", _TINYGEMM), ("float_reciprocal", _TINYGEMM)),
    "float_code_origin": (("engine", f"{_TINYGEMM},dtype:bf16"),),
    "code_rounding": (("engine", "default"),),
    "zero_point_add": (("engine", "default"), ("torchao", "default")),
    "zero_point_add_dtype": (("wide_codes_under_float_zero_points", "dtype:bf16"), ("wide_codes", "dtype:bf16")),
    "code_clamp": (("engine", "default"), ("unclamped", "default"), ("replaced_scales", "family:huge")),
    "clamp_bound": (("wide_codes", "dtype:bf16"), ("exact_bounds", "dtype:bf16")),
    "code_cast": (("engine", _TINYGEMM), ("torchao", "family:specials")),
    "nan_code": (("engine", _TINYGEMM), ("engine", "family:specials")),
    "dequantize_scale": (("engine", _NARROW),),
    "subtract_dtype": (("wide_codes", "dtype:bf16,scale:fp32"), ("wide_engine", "dtype:bf16")),
    "rescale_dtype": (
        ("float64_qparams", "scale:fp64,eps:f32eps,aeps:f32eps"),
        ("engine", "dtype:bf16"),
        ("torchao_float64_qparams", "scale:fp64,eps:f32eps,aeps:f32eps"),
    ),
    "float_rescale_dtype": (("engine", _TINYGEMM), ("kept_intermediates", _TINYGEMM)),
    "rescale_intermediate": (
        ("engine", f"{_TINYGEMM},dtype:bf16"),
        ("integer_codes", f"{_TINYGEMM},dtype:bf16,scale:fp32"),
    ),
    "rescale_fusion": (("kept_intermediates", _TINYGEMM),),
    "operand_dtype": (("engine", "dtype:bf16"),),
    "gradient_mask": (("engine", "steps:1"),),
    "gradient_product": (("engine", "steps:1"), ("torchao", "steps:1"), ("straight_through", "steps:1")),
    "float_gradient_product": tuple(
        (ground, f"{_TINYGEMM},dtype:bf16,steps:3") for ground in ("engine", "torchao", "float_reciprocal")
    ),
    "float64_cast": (("eps_between_floats", _NARROW), ("torchao_eps_between_floats", _NARROW)),
    "subnormals": (("engine", "dtype:bf16"),),
    "product_operands": (("engine", _CODES), ("codes", _CODES)),
    "operand_precision": (("engine", "default"),),
    "accumulate": (("engine", "default"), ("torchao", "default"), ("engine", _CODES)),
    "code_product_rescale": (("codes", _CODES),),
    "bias_add": (("engine", "dtype:bf16"), ("late_bias", "dtype:bf16")),
    "product_output": (("engine", "default"), ("codes", f"dtype:bf16,{_CODES}")),
}

CATCHING: Final = {field: tuple(Place(*place) for place in places) for field, places in _PLACES.items()}

# Fields that act in some flows alone; in the others no bit may move.
ACTS_IN: Final[Mapping[str, frozenset[Flow]]] = {
    "code_cast": frozenset({Flow.QAT_PREPARE}),  # what is stored is integers, whatever fake quantization keeps
}
EVERYWHERE: Final = frozenset(Flow)
