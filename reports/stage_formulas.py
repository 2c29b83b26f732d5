"""What each stage holds, as the rules state it when no rule moves it: the line a cell page shows beside the stage."""

from parity.record import STAGES
from parity.signature import RAISE

FORMULAS = {
    "input.scale": "scale = max(range / (qmax - qmin), eps), per token",
    "input.zero_point": "zero_point = clamp(qmin - round(min / scale), qmin, qmax)",
    "input.codes": "codes = clamp(round(x / scale) + zero_point, qmin, qmax)",
    "input.dequantized": "x' = (codes - zero_point) * scale",
    "weight.scale": "scale = max(amax / qmax, eps), per group",
    "weight.zero_point": "zero_point = clamp(qmin - round(min / scale), qmin, qmax)",
    "weight.codes": "codes = clamp(round(w / scale) + zero_point, qmin, qmax)",
    "weight.packed": "bytes = codes in the order of the packing",
    "weight.dequantized": "w' = (codes - zero_point) * scale",
    "output.scale": "scale of the result, chosen anew or moved with its codes",
    "output.zero_point": "zero point of the result",
    "output.codes": "codes = clamp(round(y / scale) + zero_point, qmin, qmax), or codes of the weight elsewhere",
    "output": "y = x' w'^T + bias; of a quantized result what its codes stand for",
    "grad.input": "dL/dx, straight through rounding",
    "grad.weight": "dL/dw, straight through rounding",
    RAISE: "one lane raised and the other did not",
}

assert {*FORMULAS} == {*STAGES, RAISE}, "every stage has its line"

# What each stage is computed from, of the stages before it; a lane without activations in codes has no input.* stages.
SOURCES = {
    "input.scale": (),
    "input.zero_point": ("input.scale",),
    "input.codes": ("input.scale", "input.zero_point"),
    "input.dequantized": ("input.scale", "input.zero_point", "input.codes"),
    "weight.scale": (),
    "weight.zero_point": ("weight.scale",),
    "weight.codes": ("weight.scale", "weight.zero_point"),
    "weight.packed": ("weight.codes",),
    "weight.dequantized": ("weight.scale", "weight.zero_point", "weight.codes"),
    "output.scale": ("input.dequantized", "weight.dequantized"),
    "output.zero_point": ("output.scale",),
    "output.codes": ("output.scale", "output.zero_point"),
    "output": ("input.dequantized", "weight.dequantized", "output.scale", "output.zero_point", "output.codes"),
    "grad.input": ("weight.dequantized",),
    "grad.weight": ("input.dequantized",),
}

assert tuple(SOURCES) == STAGES, "every stage has its sources"

# For the narrow columns of the matrix; the page's legend says what each stands for.
SHORT = {
    "input.scale": "i.s",
    "input.zero_point": "i.zp",
    "input.codes": "i.c",
    "input.dequantized": "i.dq",
    "weight.scale": "w.s",
    "weight.zero_point": "w.zp",
    "weight.codes": "w.c",
    "weight.packed": "w.pk",
    "weight.dequantized": "w.dq",
    "output.scale": "o.s",
    "output.zero_point": "o.zp",
    "output.codes": "o.c",
    "output": "out",
    "grad.input": "g.in",
    "grad.weight": "g.w",
    RAISE: "raise",
}

assert {*SHORT} == {*FORMULAS}, "every stage has its short name"
assert len({*SHORT.values()}) == len(SHORT), "no two stages share a short name"
