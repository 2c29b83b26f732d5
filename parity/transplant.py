"""One path resumed in the middle: a lane goes on from a value that another lane computed, under its own rules."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from parity.diff import diff_stage
from parity.lanes import Flow
from parity.pair import Case, Pair
from parity.trace import Trace
from quant import QParams, Quantized, QuantScheme, TensorScheme, choose_qparams, dequantize
from quant import decisions as d
from quant.codes import code_values, store_codes
from quant.embedding import lookup_stages
from quant.fake import Operand
from quant.linear import layer_stages

SUFFIXES = ("scale", "zero_point", "codes", "dequantized")


def operand_stages(x: Tensor, scheme: TensorScheme, *, fake: bool, until: str = "dequantized") -> dict[str, Tensor]:
    """Scale, zero point, codes and dequantized values of x, as far as `until`; fake as QAT-prepare has them."""
    qparams = choose_qparams(x, scheme)
    stages = {"scale": qparams.effective_scale}
    if qparams.zero_point is not None:
        stages["zero_point"] = qparams.zero_point
    if until in ("scale", "zero_point"):
        return stages
    return stages | _from_qparams(x, qparams, fake=fake, until=until)


def _from_qparams(x: Tensor, qparams: QParams, *, fake: bool, until: str = "dequantized") -> dict[str, Tensor]:
    with torch.no_grad():
        _, codes = code_values(x, qparams)
        if not fake or qparams.scheme.rules.code_cast is d.CodeCast.INTEGER:
            codes = store_codes(codes, qparams.scheme)
    return {"codes": codes} | ({} if until == "codes" else _from_codes(codes, qparams, x.dtype))


def _from_codes(codes: Tensor, qparams: QParams, dtype: torch.dtype) -> dict[str, Tensor]:
    return {"dequantized": dequantize(Quantized(codes=codes, qparams=qparams), dtype)}


def layer_output(case: Case, trace: Trace, scheme: QuantScheme, device: str = "cpu") -> Tensor:
    """The output, on cpu, of the operands that a trace holds, by the scheme's product on a device.

    Raises KeyError where the trace lacks one.
    """
    x, weight = case.x.to(device), operand_of(trace, "weight", scheme.weight, case.weight.dtype, device)
    with torch.no_grad():
        if not x.is_floating_point():
            return lookup_stages(x, weight, scheme, case.weight.dtype, None).output.cpu()
        activation = scheme.activation
        given = None if activation is None else operand_of(trace, "input", activation, x.dtype, device)
        bias = None if case.bias is None else case.bias.to(device)
        return layer_stages(x, given, weight, bias, scheme, case.weight.dtype).output.cpu()


def operand_of(trace: Trace, side: str, scheme: TensorScheme, dtype: torch.dtype, device: str = "cpu") -> Operand:
    """One side's operand as a lane's trace holds it, with the scheme that gives it its meaning."""
    zero_point = trace.find(f"{side}.zero_point")
    return Operand(
        qparams=QParams(
            scale=trace[f"{side}.scale"].tensor.to(device),
            zero_point=None if zero_point is None else zero_point.tensor.to(device),
            scheme=scheme.resolved(dtype),
        ),
        codes=trace[f"{side}.codes"].tensor.to(device),
        dequantized=trace[f"{side}.dequantized"].tensor.to(device),
    )


def inherited(pair: Pair, stage: str, scheme: QuantScheme) -> tuple[str, ...]:
    """The later stages that are lane A's again once lane B, carrying out `scheme`, is given A's value of `stage`.

    A scale and its zero point are one choice and are given together. Empty where B's rules read what no stage holds,
    such as the scale before it was rounded.
    """
    operand, _, name = stage.partition(".")
    if name not in SUFFIXES:
        return ()
    try:
        resumed = [_resumed(pair, i, operand, name, scheme) for i in range(len(pair.cases))]
    except (KeyError, ValueError):
        return ()
    return _healed(pair, pair.stages[pair.stages.index(stage) + 1 :], resumed)


def inherited_by_training(pair: Pair, scheme: QuantScheme) -> tuple[str, ...]:
    """The stages that are lane A's once lane B, carrying out `scheme`, starts from the parameters that A has trained.

    Empty where its rules read what no stage holds.
    """
    try:
        started = [_started(pair, i, scheme) for i in range(len(pair.cases))]
    except (KeyError, ValueError):
        return ()
    return _healed(pair, pair.stages, started)


def _healed(pair: Pair, stages: Sequence[str], made: Sequence[Mapping[str, Tensor]]) -> tuple[str, ...]:
    """Those of the stages that differ, and do not in what was made."""
    different = (stage for stage in stages if stage in made[0] and not pair.diff(stage).identical)
    stacks = ((stage, torch.stack([each[stage] for each in made])) for stage in different)
    return tuple(stage for stage, stack in stacks if diff_stage(stage, pair.a.stacked(stage), stack).identical)


def _started(pair: Pair, i: int, scheme: QuantScheme) -> Mapping[str, Tensor]:
    """What B computes of case i from the weight and bias that A has trained."""
    trained, b = pair.a.cases[i], pair.b.traces[i]
    fake = pair.b.lane.flow is Flow.QAT_PREPARE
    made = operand_stages(trained.weight.cpu(), scheme.weight, fake=fake)
    stages = {f"weight.{name}": value for name, value in made.items()}
    whole = {stage.name: stage.tensor for stage in b} | stages
    return stages | {"output": layer_output(trained, _with(b, whole), scheme, pair.b.lane.device)}


def _resumed(pair: Pair, i: int, operand: str, name: str, scheme: QuantScheme) -> Mapping[str, Tensor]:
    """What B computes of case i after A's value of the stage."""
    case, a, b = pair.b.cases[i], pair.a.traces[i], pair.b.traces[i]
    tensor = scheme.weight if operand == "weight" else scheme.activation
    assert tensor is not None
    x = (case.weight if operand == "weight" else case.x).cpu()
    fake = pair.b.lane.flow is Flow.QAT_PREPARE
    given = a if name in ("scale", "zero_point") else b
    qparams = operand_of(given, operand, tensor, x.dtype).qparams
    if name == "dequantized":
        later = {}
    elif name == "codes":
        later = _from_codes(a[f"{operand}.codes"].tensor.cpu(), qparams, x.dtype)
    else:
        later = _from_qparams(x, qparams, fake=fake)
    stages = {f"{operand}.{key}": value for key, value in later.items()}
    whole = {s.name: s.tensor for s in b} | {name_: a[name_].tensor for name_ in _given(operand, name, a)} | stages
    return stages | {"output": layer_output(case, _with(b, whole), scheme, pair.b.lane.device)}


def _given(operand: str, name: str, a: Trace) -> tuple[str, ...]:
    """The stages that A's value stands for."""
    chosen = ("scale", "zero_point") if name in ("scale", "zero_point") else (name,)
    return tuple(stage for key in chosen if a.find(stage := f"{operand}.{key}") is not None)


def _with(trace: Trace, values: Mapping[str, Tensor]) -> Trace:
    """The trace with other tensors in it."""
    return Trace(replace(stage, tensor=values[stage.name]) for stage in trace)
