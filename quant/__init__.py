"""What quantization means: schemes, rules, qparams, codes and flows, all by one path; no comparison, no reporting."""

from quant import presets
from quant.calibrate import calibrate
from quant.codes import Quantized, quantize
from quant.dequantize import dequantize
from quant.eps import EpsOf, EpsProperty, PropertyDtype
from quant.fake import fake_quantize
from quant.fused import fused
from quant.granularity import PerAxis, PerBlock, PerGroup, PerRow, PerTensor, PerToken
from quant.load import load_quantized
from quant.mapping import Mapping, ZeroPointDomain
from quant.mechanism import Mechanism
from quant.packing import Packing
from quant.product_rules import ProductRules
from quant.propagation import Propagation
from quant.ptq import quantize_
from quant.qat import convert, prepare
from quant.qparams import QParams, choose_qparams
from quant.quantized_tensor import QuantizedTensor, load_tensors, save_tensors
from quant.rule_sets import rules_named
from quant.rules import Rules
from quant.save import save_quantized
from quant.scheme import QuantScheme, TensorScheme
from quant.statistic import First, Learned, MinMax, MovingAverage, Own
from quant.switch import disable_fake_quantization, enable_fake_quantization

__all__ = [
    "EpsOf",
    "EpsProperty",
    "First",
    "Learned",
    "Mapping",
    "Mechanism",
    "MinMax",
    "MovingAverage",
    "Own",
    "Packing",
    "PerAxis",
    "PerBlock",
    "PerGroup",
    "PerRow",
    "PerTensor",
    "PerToken",
    "ProductRules",
    "Propagation",
    "PropertyDtype",
    "QParams",
    "QuantScheme",
    "Quantized",
    "QuantizedTensor",
    "Rules",
    "TensorScheme",
    "ZeroPointDomain",
    "calibrate",
    "choose_qparams",
    "convert",
    "dequantize",
    "disable_fake_quantization",
    "enable_fake_quantization",
    "fake_quantize",
    "fused",
    "load_quantized",
    "load_tensors",
    "prepare",
    "presets",
    "quantize",
    "quantize_",
    "rules_named",
    "save_quantized",
    "save_tensors",
]
