"""Functions of declarations alone, whose answers are kept: computed once, and a constant to whatever traces them."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache, wraps
from typing import ClassVar, ParamSpec, TypeVar

import torch

Arguments = ParamSpec("Arguments")
Answer = TypeVar("Answer")


class Resolutions:
    """Places on a declaration for what it was resolved to, by dtype: neither compared, printed nor copied.

    Kept there, a tracer finds it where it can be guarded.
    """

    NAMES: ClassVar = {torch.bfloat16: "bfloat16", torch.float16: "float16", torch.float32: "float32"}
    __slots__ = tuple(NAMES.values())


def untraced(function: Callable[Arguments, Answer]) -> Callable[Arguments, Answer]:
    """The function itself; torch.compile calls it while tracing and writes down its answer, a number or None."""
    # What torch.compiler.assume_constant_result does, which would import the whole compiler with every import of quant.
    vars(function)["_dynamo_marked_constant"] = True
    return function


def remembered(function: Callable[Arguments, Answer]) -> Callable[Arguments, Answer]:
    """remembered(f)(a) = f(a), untraced, for hashable arguments of which none is a tensor or depends on one.

    What f raises is raised anew each time.
    """
    kept = lru_cache(maxsize=4096)(function)

    @wraps(function)
    def answer(*args: Arguments.args, **kwargs: Arguments.kwargs) -> Answer:
        return kept(*args, **kwargs)  # type: ignore[arg-type]  # hashable, by contract

    return untraced(answer)
