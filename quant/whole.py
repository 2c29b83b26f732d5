"""whole(f): f, into which torch.compile does not look; a graph holds its calls or breaks at them."""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import wraps
from typing import ParamSpec, TypeVar, cast

import torch

Arguments = ParamSpec("Arguments")
Answer = TypeVar("Answer")


def whole(function: Callable[Arguments, Answer]) -> Callable[Arguments, Answer]:
    """What torch.compiler.disable makes of a function, from when there is a compiler: it would be imported by quant."""
    chosen = function

    @wraps(function)
    def call(*args: Arguments.args, **kwargs: Arguments.kwargs) -> Answer:
        nonlocal chosen
        if chosen is function and "torch._dynamo" in sys.modules:
            chosen = cast(Callable[Arguments, Answer], torch.compiler.disable(function))
        return chosen(*args, **kwargs)

    return call
