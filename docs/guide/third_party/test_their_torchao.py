"""What a third party promises: the model that QAT trained for is the model that PTQ makes, bit for bit."""

import pytest
import torch
from their_torchao import Their8da4w

import parity
from quant.presets import int8_dynamic_intx_weight

SCHEME = int8_dynamic_intx_weight(bits=4, group_size=32, rules="torchao")


@pytest.mark.parametrize("inputs", ["directed", "random"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16], ids=["fp32", "bf16", "fp16"])
def test_ptq_is_what_qat_trained_for(dtype: torch.dtype, inputs: str) -> None:
    lanes = [parity.lane(Their8da4w(), flow=flow) for flow in ("ptq", "qat_convert")]
    parity.assert_identical(*lanes, SCHEME, dtype=dtype, inputs=inputs)
