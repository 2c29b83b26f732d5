"""What is done to the description or the tensors of a saved model, and the sentence that then refuses the file."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

Change = Callable[[dict[str, Any], dict[str, Tensor]], object]


def weight_of(described: dict[str, Any]) -> dict[str, Any]:
    weight: dict[str, Any] = described["schemes"][0]["weight"]
    return weight


SPOILED: dict[str, Change] = {
    "its version is 2, and only version 1 is known here": lambda d, t: d.update(version=2),
    "its version is True, and only version 1": lambda d, t: d.update(version=True),
    "the description has the field 'more', which is not known here": lambda d, t: d.update(more=1),
    "the description does not say 'shared'": lambda d, t: d.pop("shared"),
    r"the description.schemes\[0\].weight.rules has the field 'stochastic', which is not known here": lambda d, t: (
        weight_of(d)["rules"].update(stochastic="yes")
    ),
    r"the description.schemes\[0\].weight.rules.code_rounding is 'dice', which is not known here; its": lambda d, t: (
        weight_of(d)["rules"].update(code_rounding="dice")
    ),
    r"the description.schemes\[0\].weight.granularity is a 'PerMoon', which is not known here": lambda d, t: weight_of(
        d
    )["granularity"].update({"is": "PerMoon"}),
    r"the description.schemes\[0\].weight does not say 'bits'; a TensorScheme needs it": lambda d, t: weight_of(d).pop(
        "bits"
    ),
    r"the description.schemes\[0\].weight.bits is '4'; it must be int": lambda d, t: weight_of(d).update(bits="4"),
    r"the description.schemes\[0\].weight has no meaning: bits is 99": lambda d, t: weight_of(d).update(bits=99),
    "the description.layers is 1; it must be dict": lambda d, t: d.update(layers=1),
    "the description has no meaning: head has scheme 7 of 1": lambda d, t: d["layers"]["head"].update(scheme=7),
    "the model has no tail, which the file quantizes": lambda d, t: d["layers"].update(tail=d["layers"].pop("head")),
    "body.1 is a LayerNorm in the model and quantizes a linear in the file": lambda d, t: d["layers"].update(
        {"body.1": d["layers"].pop("body.2")}
    ),
    "head is a Linear in the model and quantizes a embedding in the file": lambda d, t: d["layers"]["head"].update(
        kind="embedding"
    ),
    r"head does not fit: its dtype is 'torch.float16' in the file and 'torch.float32' in the model": lambda d, t: d[
        "layers"
    ]["head"].update(dtype="torch.float16"),
    r"head does not fit: its shape is \[1000000000, 1000000000\] in the file and \[5, 16\] in the model": lambda d, t: (
        d["layers"]["head"].update(shape=[10**9, 10**9])
    ),
    r"body.0 does not fit: its bias is False in the file and True in the model": lambda d, t: d["layers"][
        "body.0"
    ].update(bias=False),
    "it does not hold body.1.bias, which the model needs": lambda d, t: t.pop("body.1.bias"),
    "it holds spare, which the model has no place for": lambda d, t: t.update(spare=torch.zeros(1)),
    r"table.weight_scale is torch.float16 \[5, 4\] in the file, but the model has torch.float32": lambda d, t: t.update(
        {"table.weight_scale": t["table.weight_scale"].half()}
    ),
    r"table.weight_codes is torch.int8 \[5, 8\] in the file, but the model has torch.int8 \[5, 16\]": lambda d, t: (
        t.update({"table.weight_codes": t["table.weight_codes"][:, :8].contiguous()})
    ),
    "head.weight_codes is the same as nobody, which the file does not hold": lambda d, t: d["shared"].update(
        {"head.weight_codes": "nobody"}
    ),
    r"body.0.bias is said to lie in the order \(3,\), but it has 1 dimensions": lambda d, t: d["order"].update(
        {"body.0.bias": [3]}
    ),
}
