"""oracle.blame: the first stage at which a lane is not what its scheme declares."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from parity.bits import bits_text, dtype_name
from parity.diff import diff_stage
from parity.oracle.trace import Form, OracleTrace
from parity.oracle.trace import trace as oracle_trace
from parity.record import StageDiff
from parity.trace import Trace
from quant.scheme import TensorScheme

STAGES = ("scale", "zero_point", "codes", "dequantized")


@dataclass(frozen=True, slots=True, kw_only=True)
class Blame:
    """stage is None where every stage of the lane is as declared; a stage the lane lacks is not judged.

    n_different elements differ, first_index is the first of them in row-major order, and declared and found are what
    stands there, as bits and number. Where shapes or dtypes differ there is no element: first_index is None, and the
    texts are the dtypes and shapes. near_tie: the exact quotient of that element lies within half an ulp of a tie.
    """

    stage: str | None
    n_different: int
    first_index: tuple[int, ...] | None
    declared: str
    found: str
    near_tie: bool
    sentence: str


def blame(
    trace: Trace,
    scheme: TensorScheme,
    x: Tensor,
    *,
    operand: Literal["weight", "input"],
    fake: bool,
    output_dtype: torch.dtype,
    form: Form = Form.AUTOMATIC,
) -> Blame:
    """Compare a lane's stages of one operand, whose float tensor is x, with the oracle's; the first that differs is it.

    Bits are compared as parity.diff compares them, so codes are compared as integers whatever dtype holds them. Raises
    ValueError where the trace has no stage of that operand, and what the oracle raises.
    """
    judged = [name for name in STAGES if trace.find(f"{operand}.{name}") is not None]
    if not judged:
        raise ValueError(f"the trace has no stage of the {operand}; it has: {', '.join(trace.names) or 'none'}")
    declared = oracle_trace(x, scheme, fake=fake, output_dtype=output_dtype, form=form)
    for name in judged:
        stage = f"{operand}.{name}"
        diff = diff_stage(stage, declared.stage(name), trace[stage].tensor)
        if not diff.identical:
            return _blamed(stage, diff, declared, x)
    return Blame(
        stage=None,
        n_different=0,
        first_index=None,
        declared="",
        found="",
        near_tie=False,
        sentence=f"{', '.join(f'{operand}.{name}' for name in judged)}: every element is as declared",
    )


def _blamed(stage: str, diff: StageDiff, declared: OracleTrace, x: Tensor) -> Blame:
    if diff.first is None:
        wanted = f"{diff.dtype_a} {list(diff.shape_a)}"
        found = f"{diff.dtype_b} {list(diff.shape_b)}"
        sentence = f"{stage} is {found}, but the scheme declares {wanted}"
        return Blame(
            stage=stage,
            n_different=diff.n_different,
            first_index=None,
            declared=wanted,
            found=found,
            near_tie=False,
            sentence=sentence,
        )
    wanted, found = bits_text(diff.first.bits_a, diff.dtype_a), bits_text(diff.first.bits_b, diff.dtype_b)
    where, near_tie, why = ", ".join(map(str, diff.first.index)), False, ""
    if stage.endswith(".codes"):
        distance = float(declared.tie_distance[diff.first.index])
        near_tie = distance <= 0.5
        value = float(x.detach()[diff.first.index])
        why = f"; x is {value.hex()} ({dtype_name(x.dtype)}), {distance:.3g} ulp of the quotient from a tie"
    sentence = (
        f"{stage}[{where}] is {found}, but the rules declare {wanted}{why}; "
        f"{diff.n_different} of {diff.n_total} elements differ"
    )
    return Blame(
        stage=stage,
        n_different=diff.n_different,
        first_index=diff.first_index,
        declared=wanted,
        found=found,
        near_tie=near_tie,
        sentence=sentence,
    )
