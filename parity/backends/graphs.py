"""A layer's stages as a graph computes them: exported, or compiled; eager code only says which tensors they are.

A graph is made once for all cases of a configuration and given each case's weights, so that none is baked into it.
"""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from quant.compiled_rows import FusedWarning
from quant.fake import Operand
from quant.fused import fused
from quant.linear import LayerStages

GRAPHS = ("exported", "compiled")
FUSED = ("fused", "triton")


class Layer(Protocol):
    """A quantized or prepared layer of quant."""

    def stages(self, x: Tensor, /) -> LayerStages: ...


@contextmanager
def fusing(mode: str) -> Iterator[None]:
    """quant.fused() in the modes that mean it; an operand that is left to the plain path is an error there."""
    with fused(mode in FUSED), warnings.catch_warnings():
        warnings.simplefilter("error", FusedWarning)
        yield


def stages_in(mode: str, layer: Layer, x: Tensor) -> LayerStages:
    """layer.stages(x), every tensor computed by the layer's graph unless the mode is eager."""
    stages = layer.stages(x)
    if mode not in GRAPHS:
        return stages
    assert isinstance(layer, nn.Module)
    graph = _graph(mode, layer, x, stages.output.dtype)
    computed = (tensor.clone() for tensor in graph(x))  # what a graph hands out may be the tensors it holds
    operands = [None if old is None else _operand(old, computed) for old in (stages.input, stages.weight)]
    assert operands[1] is not None
    return LayerStages(input=operands[0], weight=operands[1], output=next(computed))


class _Staged(nn.Module):
    """The tensors of every stage of a layer, in their order."""

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        stages: LayerStages = self.layer.stages(x)  # type: ignore[operator]  # a Layer
        found = [stages.weight] if stages.input is None else [stages.input, stages.weight]
        tensors = [tensor for operand in found for tensor in _tensors(operand) if tensor is not None]
        return (*tensors, stages.output)


def _tensors(operand: Operand) -> tuple[Tensor | None, ...]:
    return operand.qparams.effective_scale, operand.qparams.zero_point, operand.codes, operand.dequantized


def _operand(old: Operand, computed: Iterator[Tensor]) -> Operand:
    """The operand with the next computed tensors in place of its own, in the order of `_tensors`."""
    scale = next(computed)
    zero_point = None if old.qparams.zero_point is None else next(computed)
    qparams = replace(old.qparams, scale=scale, zero_point=zero_point, global_scale=None)
    return Operand(qparams=qparams, codes=next(computed), dequantized=next(computed))


@dataclass(frozen=True, slots=True)
class _Graph:
    """What computes a layer's stages, and the module whose tensors it reads."""

    holder: nn.Module
    call: Callable[[Tensor], tuple[Tensor, ...]]


_kept: dict[tuple[Any, ...], _Graph] = {}
_MOST_KEPT = 4  # a configuration has two layers, prepared and quantized


def _graph(mode: str, layer: nn.Module, x: Tensor, dtype: torch.dtype) -> Callable[[Tensor], tuple[Tensor, ...]]:
    """The graph of layers of this form with outputs of `dtype`, given this one's tensors; the last few are kept."""
    tensors = layer.state_dict(keep_vars=True)
    forms = tuple((name, t.dtype, t.shape, t.stride(), t.device) for name, t in (*tensors.items(), ("", x)))
    key = (mode, type(layer), layer.scheme, dtype, forms)
    if key not in _kept:
        if len(_kept) == _MOST_KEPT:
            _kept.clear()
            torch.compiler.reset()  # which would give up compiling, and run eager code, after eight forms of one module
        _kept[key] = _made(mode, _Staged(copy.deepcopy(layer)), x)
    graph = _kept[key]
    graph.holder.load_state_dict({f"layer.{name}": tensor.detach() for name, tensor in tensors.items()})
    return graph.call


def _made(mode: str, staged: nn.Module, x: Tensor) -> _Graph:
    if mode == "exported":
        program = torch.export.export(staged, (x,), strict=False).module()
        return _Graph(program, program)
    compiled = torch.compile(staged, fullgraph=True, dynamic=False)

    def call(x: Tensor) -> tuple[Tensor, ...]:
        with warnings.catch_warnings(), torch._dynamo.config.patch(fail_on_recompile_limit_hit=True):
            warnings.simplefilter("ignore")  # the compiler's own, about its own use of torch
            result: tuple[Tensor, ...] = compiled(x)
        return result

    return _Graph(staged, call)
