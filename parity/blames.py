"""blames(pair, stage) = for each lane, the first stage at which the exact oracle finds it other than it declares."""

from __future__ import annotations

import torch

from parity.lanes import Flow
from parity.oracle import Blame, Form, blame
from parity.pair import Pair
from quant import QuantScheme, TensorScheme

OPERANDS = ("input", "weight")


def blames(pair: Pair, stage: str) -> tuple[Blame, ...]:
    """One a lane, on the operand of the stage and the case to be explained.

    () for a stage of no operand, and where a lane declares no scheme for it.
    """
    operand, _, _ = stage.partition(".")
    schemes = [_of_operand(side.scheme, operand) for side in (pair.a, pair.b)]
    if operand not in OPERANDS or None in schemes:
        return ()
    found = []
    for side, scheme in zip((pair.a, pair.b), schemes, strict=True):
        assert scheme is not None
        x = side.cases[0].weight if operand == "weight" else side.cases[0].x
        with torch.no_grad():
            judged = blame(
                side.traces[0],
                scheme,
                x,
                operand="weight" if operand == "weight" else "input",
                fake=side.lane.flow is Flow.QAT_PREPARE,
                output_dtype=x.dtype,
                form=Form.BULK,
            )
        found.append(judged)
    return tuple(found)


def right_lane(pair: Pair, stage: str) -> str | None:
    """The one lane of two with one declaration that the oracle finds to follow it at the first stage that differs."""
    operand, _, _ = stage.partition(".")
    if _of_operand(pair.a.scheme, operand) != _of_operand(pair.b.scheme, operand):
        return None
    judged = zip((pair.a, pair.b), blames(pair, stage), strict=False)
    follows = [str(side.lane) for side, each in judged if each.stage != stage]
    return follows[0] if len(follows) == 1 else None


def _of_operand(scheme: QuantScheme, operand: str) -> TensorScheme | None:
    return scheme.weight if operand == "weight" else scheme.activation
