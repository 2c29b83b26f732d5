"""A layer and its input, for a scheme that is given rather than made from a cell: the cases of parity.compare."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor, nn

from kernels import narrow
from parity.bits import dtype_name
from parity.counter import normal_like, seed_of, words
from parity.inputs import TOKENS, Inputs, filled, input_digests
from quant import QuantScheme, TensorScheme

FAMILIES: Final = ("directed", "random")
DTYPES: Final = (torch.float32, torch.bfloat16, torch.float16)
ROWS, COLUMNS = 32, 64

Layer = nn.Linear | nn.Embedding


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class LayerCase:
    """A float layer in eval mode and its input, both on cpu; name = the layer's place in its model, "" for a layer."""

    name: str
    layer: Layer
    x: Tensor

    @property
    def text(self) -> str:
        """`fc1: linear 32x64 bfloat16`."""
        weight = self.layer.weight
        kind = "linear" if isinstance(self.layer, nn.Linear) else "embedding"
        told = f"{kind} {'x'.join(map(str, weight.shape))} {dtype_name(weight.dtype)}"
        return f"{self.name}: {told}" if self.name else told

    @property
    def input_digest(self) -> str:
        """One digest of weight, bias and input."""
        bias = getattr(self.layer, "bias", None)
        case = Inputs(self.layer.weight.detach()[None], None if bias is None else bias.detach()[None], self.x[None])
        return input_digests(case)[0]


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """How the values that are not given are made: the family, its seed, and the schemes whose ties are aimed at."""

    family: str
    seed: int
    dtype: torch.dtype
    schemes: Sequence[QuantScheme]

    def weight(self, rows: int, columns: int) -> Tensor:
        """[rows, columns]."""
        return self._values("weight", (rows, columns), [s.weight for s in self.schemes])

    def input(self, name: str, columns: int) -> Tensor:
        """[TOKENS, columns]; every layer of a model has its own."""
        activations = [s.activation for s in self.schemes if s.activation is not None]
        return self._values(f"input {name}", (TOKENS, columns), activations)

    def indices(self, name: str, rows: int) -> Tensor:
        """int64 [TOKENS] in [0, rows)."""
        return (words(self._seed(f"input {name}"), TOKENS)[0] >> 1) % rows

    def bias(self, rows: int) -> Tensor:
        """[rows], near normal."""
        return normal_like(words(self._seed("bias"), 4 * rows), self.dtype)[0]

    def _values(self, role: str, shape: tuple[int, ...], schemes: Sequence[TensorScheme]) -> Tensor:
        seeds, families, shifts = [self._seed(role)], [self.family], [self.seed]
        try:
            resolved = [scheme.resolved(self.dtype) for scheme in schemes]
            return filled(seeds, families, shifts, shape, resolved, self.dtype)[0]
        except ValueError:  # a scheme without meaning here: what the lanes say of it is what is compared
            return filled(seeds, families, shifts, shape, [], self.dtype)[0]

    def _seed(self, role: str) -> int:
        return seed_of(f"compare {self.seed}", role)


def layer_cases(module: nn.Module | None, x: Tensor | None, recipe: Recipe) -> Iterator[LayerCase]:
    """The cases of a tensor, a layer, a model, or (neither given) of a linear layer of 32x64.

    A tensor alone is the weight of a linear layer (leading dimensions flattened) and its input, so that both schemes
    act on it. With a model, x is the model's input, and each layer gets what reaches it first.
    Parameters and input are rounded once to the recipe's dtype. Raises ValueError for a module without layers, a layer
    that the model's forward pass does not reach, and an x that is neither float nor indices.
    """
    if module is None:
        yield _layer_alone(recipe) if x is None else _tensor_alone(x, recipe)
        return
    found = [(name, part) for name, part in module.named_modules() if type(part) in (nn.Linear, nn.Embedding)]
    if not found:
        raise ValueError(f"the module {type(module).__name__} holds no nn.Linear and no nn.Embedding to compare")
    reached = {} if x is None else {"": x} if found[0][1] is module else _inputs_of_layers(module, x)
    for name, part in found:
        assert isinstance(part, Layer)
        if x is not None and name not in reached:
            raise ValueError(f"the forward pass never calls layer {name!r}, so it has no input; use inputs='directed'")
        given = reached.get(name)
        yield LayerCase(name=name, layer=_at_dtype(part, recipe.dtype), x=_input(part, name, given, recipe))


def _layer_alone(recipe: Recipe) -> LayerCase:
    layer = _linear(recipe.weight(ROWS, COLUMNS), recipe.bias(ROWS))
    return LayerCase(name="", layer=layer, x=recipe.input("", COLUMNS))


def _tensor_alone(x: Tensor, recipe: Recipe) -> LayerCase:
    if not x.is_floating_point() or x.dim() == 0:
        shape = tuple(x.shape)
        raise ValueError(f"inputs is a tensor of {x.dtype} and shape {shape}; it must be float, of 1 dimension or more")
    values = narrow(x.detach().cpu(), recipe.dtype)
    return LayerCase(name="", layer=_linear(values.reshape(-1, values.shape[-1]).clone(), None), x=values)


def _linear(weight: Tensor, bias: Tensor | None) -> nn.Linear:
    """A linear layer that holds these parameters, in eval mode."""
    layer = nn.Linear(weight.shape[1], weight.shape[0], bias=bias is not None, device="meta")
    layer.weight = nn.Parameter(weight)
    if bias is not None:
        layer.bias = nn.Parameter(bias)
    return layer.eval()


def _at_dtype(part: Layer, dtype: torch.dtype) -> Layer:
    """A copy on cpu whose parameters are rounded once to dtype."""
    layer = copy.deepcopy(part).cpu().eval()
    for name, parameter in list(layer.named_parameters()):
        setattr(layer, name, nn.Parameter(narrow(parameter.detach(), dtype)))
    return layer


def _input(part: Layer, name: str, given: Tensor | None, recipe: Recipe) -> Tensor:
    if isinstance(part, nn.Embedding):
        return recipe.indices(name, part.num_embeddings) if given is None else given.detach().cpu()
    return recipe.input(name, part.in_features) if given is None else narrow(given.detach().cpu(), recipe.dtype)


def _inputs_of_layers(model: nn.Module, x: Tensor) -> dict[str, Tensor]:
    """What reaches each layer first when the model, in eval mode and its own dtype, is called on x."""
    own = copy.deepcopy(model).eval()
    reached: dict[str, Tensor] = {}

    def keep(name: str, arguments: tuple[object, ...]) -> None:
        if arguments and isinstance(arguments[0], Tensor):
            reached.setdefault(name, arguments[0].detach().clone())

    for name, part in own.named_modules():
        part.register_forward_pre_hook(lambda _, arguments, name=name: keep(name, arguments))
    with torch.no_grad():
        own(x)
    return reached
