"""The schemes that the cases start from: torchao's, with an exact product, so that nothing else moves the output."""

from __future__ import annotations

from typing import Any, Final

import torch

from quant import Mapping, PerAxis, PerGroup, PerToken, QuantScheme, TensorScheme, ZeroPointDomain, presets
from quant.rule_sets import ENGINE_PRODUCT, TORCHAO
from quant.rules import Rules
from quant.scheme import MODEL

FP32, BF16, FP16, FP64 = torch.float32, torch.bfloat16, torch.float16, torch.float64
F32_EPS: Final = presets.FLOAT32_EPS
BF16_EPS: Final = presets.BFLOAT16_EPS

# No gradient flows here; held at identity it excludes no division.
RULES: Final[Rules] = TORCHAO.with_values(gradient_product="identity")


def int4_weight(**values: Any) -> QuantScheme:
    """Symmetric int4 in groups of 32; scales in the model's dtype, eps 2**-23."""
    return QuantScheme(weight=_tensor(4, PerGroup(32), values), product=ENGINE_PRODUCT)


def int8_weight(**values: Any) -> QuantScheme:
    """Symmetric int8 a channel."""
    return QuantScheme(weight=_tensor(8, PerAxis(0), values), product=ENGINE_PRODUCT)


def int8_asymmetric(**values: Any) -> QuantScheme:
    """int8 with a zero point, a scale a row, as 8da4w quantizes its tokens."""
    given = {"mapping": Mapping.ASYMMETRIC} | values
    return QuantScheme(weight=_tensor(8, PerToken(), given), product=ENGINE_PRODUCT)


def int4_tinygemm(**values: Any) -> QuantScheme:
    """Codes 0..15 under a float zero point, in groups of 32."""
    given = {
        "mapping": Mapping.ASYMMETRIC,
        "zero_point_domain": ZeroPointDomain.FLOAT,
        "zero_point_dtype": MODEL,
        "preserve_zero": False,
        "qmin": 0,
        "qmax": 15,
    }
    return QuantScheme(weight=_tensor(4, PerGroup(32), given | values), product=ENGINE_PRODUCT)


def int8_dynamic(*, symmetric: bool = False, **values: Any) -> QuantScheme:
    """8da4w, with these values of its activation: int8 a token, whose scale is fp32 and whose eps is 2**-23."""
    own = presets.int8_dynamic_int4_weight(rules=RULES)
    assert own.activation is not None
    activation = _tensor(8, PerToken(), {"scale_dtype": FP32, "mapping": Mapping.ASYMMETRIC} | values)
    if symmetric:
        activation = _tensor(8, PerToken(), {"scale_dtype": FP32, "qmin": -127} | values)
    return QuantScheme(weight=own.weight, activation=activation, product=ENGINE_PRODUCT)


def _tensor(bits: int, granularity: Any, values: dict[str, Any]) -> TensorScheme:
    """Signed codes; a value of the scheme or, by its name, of the rules takes the place of the default."""
    rules = {name: value for name, value in values.items() if name in Rules.decisions()}
    given = {name: value for name, value in values.items() if name not in rules}
    qmin, qmax = presets.signed_grid(bits)
    own: dict[str, Any] = {"bits": bits, "qmin": qmin, "qmax": qmax, "granularity": granularity, "eps": F32_EPS}
    return TensorScheme(**(own | given), rules=RULES.with_values(**rules))
