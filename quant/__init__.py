"""What quantization means: schemes, rules, qparams, codes and flows, all by one path; no comparison, no reporting."""

from quant import presets
from quant.codes import Quantized, quantize
from quant.dequantize import dequantize
from quant.eps import EpsOf, EpsProperty, PropertyDtype
from quant.fake import fake_quantize
from quant.granularity import PerAxis, PerBlock, PerGroup, PerRow, PerTensor, PerToken
from quant.mapping import Mapping, ZeroPointDomain
from quant.product_rules import ProductRules
from quant.ptq import quantize_
from quant.qat import convert, prepare
from quant.qparams import QParams, choose_qparams
from quant.rule_sets import rules_named
from quant.rules import Rules
from quant.scheme import QuantScheme, TensorScheme

__all__ = [
    "EpsOf",
    "EpsProperty",
    "Mapping",
    "PerAxis",
    "PerBlock",
    "PerGroup",
    "PerRow",
    "PerTensor",
    "PerToken",
    "ProductRules",
    "PropertyDtype",
    "QParams",
    "QuantScheme",
    "Quantized",
    "Rules",
    "TensorScheme",
    "ZeroPointDomain",
    "choose_qparams",
    "convert",
    "dequantize",
    "fake_quantize",
    "prepare",
    "presets",
    "quantize",
    "quantize_",
    "rules_named",
]
