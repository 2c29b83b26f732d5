"""python -m parity.gate.stage_tensors < REQUEST: the stages of samples as safetensors, keyed by place and stage.

    request   {"run": DIR, "lanes": [...] or null, "samples": [...], "out": FILE}

It runs in a process of its own because the code is another revision's; what it wrote is read as bytes, never run.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor

from parity.gate.reproduce import Prepared
from parity.gate.samples import Sample


def stage_tensors(request: Mapping[str, Any]) -> dict[str, Tensor]:
    """Every stage of every sample, on the CPU."""
    tensors = {}
    for place, sample in enumerate(request["samples"]):
        with torch.no_grad():
            trace = Prepared.of(Sample(**sample), request).trace()
        for stage in trace:
            tensors[f"{place}/{stage.name}"] = stage.tensor.detach().cpu().clone(memory_format=torch.contiguous_format)
    return tensors


def main() -> None:
    torch.set_num_threads(1)
    request = json.load(sys.stdin)
    save_file(stage_tensors(request), request["out"])


if __name__ == "__main__":
    main()
