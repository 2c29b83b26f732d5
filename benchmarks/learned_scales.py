"""How far a learned scale's gradient lies from torchao's: exact sums of one term against autograd's two sums.

    python -m benchmarks.learned_scales

A weight of 64x256 in groups of 32, int4 symmetric, as it is and with its scales halved, so that values are clipped.
Printed: how many of the 512 gradients differ, and the relative distance that half, and that a tenth, of them exceed.
"""

from dataclasses import replace

import torch
from torch import Tensor
from torchao.quantization.qat import IntxFakeQuantizeConfig, IntxFakeQuantizer

from parity.bits import dtype_name
from quant import Learned, choose_qparams, presets
from quant.learned import LearnedQParams
from suites.quant_layers import numbers

SCHEME = presets.intx_weight_only(bits=4, group_size=32, rules="torchao").weight


def main() -> None:
    """Print a row for each dtype and width."""
    torch.set_num_threads(1)
    print(f"{'dtype':10}{'scales':9}{'differ':>12}{'half':>10}{'a tenth':>10}")
    for dtype in (torch.float32, torch.bfloat16):
        weight, grad = numbers((64, 256), dtype, 1), numbers((64, 256), dtype, 2)
        for name, width in (("whole", 1.0), ("halved", 0.5)):
            scale = choose_qparams(weight, SCHEME).scale * width
            ours, theirs = (of(weight, grad, scale).double() for of in (learned, torchao))
            distance = (ours - theirs).abs() / theirs.abs()
            half, tenth = (distance.quantile(share).item() for share in (0.5, 0.9))
            differ = f"{int((ours != theirs).sum())} of {ours.numel()}"
            print(f"{dtype_name(dtype):10}{name:9}{differ:>12}{half:10.1e}{tenth:10.1e}")


def learned(weight: Tensor, grad: Tensor, scale: Tensor) -> Tensor:
    """The engine's gradient under torchao's rules."""
    source = LearnedQParams.of_weight(replace(SCHEME, statistic=Learned()), weight)
    with torch.no_grad():
        source.scale.copy_(scale)
    source.operand(weight).dequantized.backward(grad)
    assert source.scale.grad is not None
    return source.scale.grad


def torchao(weight: Tensor, grad: Tensor, scale: Tensor) -> Tensor:
    """torchao's, by autograd through its fake quantizer."""
    config = IntxFakeQuantizeConfig(
        torch.int4,
        group_size=32,
        is_symmetric=True,
        is_dynamic=False,
        range_learning=True,
        scale_precision=weight.dtype,
    )
    quantizer = IntxFakeQuantizer(config)
    quantizer._initialized = True  # its first call then chooses the scales that are replaced here
    quantizer(weight)
    quantizer.scale.data.copy_(scale)
    quantizer(weight).backward(grad)
    gradient: Tensor = quantizer.scale.grad
    return gradient


if __name__ == "__main__":
    main()
