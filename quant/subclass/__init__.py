"""QAT by tensor subclass: Parameters that are fake quantized where they meet a product; the layers stay what they are.

The arithmetic is that of the module swap: fake_operand for both operands, layer_stages and lookup_stages for the rest.
"""

from quant.subclass.layers import stages_of
from quant.subclass.tensor import FakeQuantizedTensor

__all__ = ["FakeQuantizedTensor", "stages_of"]
