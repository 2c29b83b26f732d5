"""compiled(f, examples): f as machine code for any number of rows, with the bits of eager code.

What is compiled is the list of operators that eager code runs. A compiler that keeps 16-bit values in wide registers
would drop the rounding of a cast between two of them; it is told to carry out every cast, and to contract no product
with a sum. No graph is handed out before it has given eager code's bits on the examples.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from threading import Lock
from types import MappingProxyType
from typing import Any, Final

import torch
from torch import Tensor

from kernels.availability import missing

Function = Callable[..., tuple[Tensor, ...]]

_OPTIONS: Final = MappingProxyType(
    {
        "emulate_precision_casts": True,
        "cpp.enable_floating_point_contract_flag": "off",
        "cpp.enable_unsafe_math_opt_flag": False,
        "cpp.dynamic_threads": True,  # as many as torch has when the graph runs, not when it is made
        "compile_threads": 1,  # a graph is one file, for which no pool of workers is worth its start
    }
)
_one_at_a_time = Lock()


class NotCompiledError(RuntimeError):
    """There is no machine code of a function, for the reason that the sentence gives."""


def compiled(function: Function, examples: tuple[Tensor, ...]) -> Function:
    """compiled(f, examples)(*t) = f(*t), bit for bit, for contiguous t of the examples' dtypes on the CPU.

    The first dimension of all tensors is one number, from 2 up; the others are the examples'. f records no gradient and
    looks at no value. Raises NotCompiledError where there is no compiler, where it fails, and where its code has other
    bits than f on the examples.
    """
    reason = missing("cpu", "fused")
    if reason is not None:
        raise NotCompiledError(reason)
    with _one_at_a_time, torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the compiler's own, about its own use of torch
        expected = function(*examples)  # first, so that what f keeps from call to call is no part of the graph
        try:
            graph = _compiled(function, examples)
            found = graph(*examples)
        except Exception as error:  # whatever a compiler raises is why there is no code
            said = str(error).strip().partition("\n")[0]
            raise NotCompiledError(f"the compiler failed with {type(error).__name__}: {said}") from error
        differs = [not _same_bits(*pair) for pair in zip(found, expected, strict=True)]
    if any(differs):
        raise NotCompiledError(f"compiled code has other bits than eager code in result {differs.index(True)}")
    return graph


def _compiled(function: Function, examples: tuple[Tensor, ...]) -> Function:
    from torch._inductor import standalone_compile  # seconds to import, and needed here alone
    from torch._subclasses.fake_tensor import FakeTensorMode
    from torch.fx.experimental.proxy_tensor import make_fx
    from torch.fx.experimental.symbolic_shapes import DimDynamic, ShapeEnv, StatelessSymbolicContext

    mode = FakeTensorMode(shape_env=ShapeEnv())
    inputs: list[Any] = []  # the examples' forms, with a symbol for the number of rows
    for example in examples:
        sizes = [DimDynamic.DUCK, *[DimDynamic.STATIC] * (example.dim() - 1)]
        context = StatelessSymbolicContext(dynamic_sizes=sizes)  # type: ignore[var-annotated]  # torch has no types here
        inputs.append(mode.from_tensor(example, symbolic_context=context))
    with mode:
        # A function without annotations: no cache takes a graph that has some.
        recorded = make_fx(lambda *tensors: function(*tensors), decomposition_table=_VECTORIZED)(*inputs)
    artifact = standalone_compile(recorded, inputs, options={"config_patches": dict(_OPTIONS)})

    def graph(*tensors: Tensor) -> tuple[Tensor, ...]:
        with torch.no_grad():
            return tuple(artifact(*tensors))

    return graph


def _nan_to_num(x: Tensor, nan: float, posinf: float, neginf: float) -> Tensor:
    """x.nan_to_num(nan, inf, -inf)."""
    assert (posinf, neginf) == (torch.inf, -torch.inf)
    return torch.where(x == x, x, nan)


# What inductor would compute number by number, by operators that it does not.
_VECTORIZED: Final = {torch.ops.aten.nan_to_num.default: _nan_to_num}


def _same_bits(a: Tensor, b: Tensor) -> bool:
    """Whether two tensors agree in dtype, shape and every bit, any NaN being one."""
    if a.dtype is not b.dtype or a.shape != b.shape:
        return False
    return torch.equal(_bits(a), _bits(b))


def _bits(t: Tensor) -> Tensor:
    if not t.is_floating_point():
        return t
    one_nan = torch.where(t == t, t, torch.nan)
    return one_nan.view({2: torch.int16, 4: torch.int32, 8: torch.int64}[t.element_size()])
