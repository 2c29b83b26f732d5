"""The torch functions in which a fake-quantized tensor is quantized, each by the one path of the layers."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils._pytree import tree_map

from quant.embedding import lookup_stages
from quant.fake import Operand, fake_operand
from quant.linear import LayerStages, check_activation_dtype, check_bias_dtype, layer_stages
from quant.scheme import TensorScheme
from quant.subclass.original import original_of

if TYPE_CHECKING:
    from quant.subclass.tensor import FakeQuantizedTensor


@dataclass(frozen=True, slots=True, eq=False)
class WrappedInput:
    """A layer's input, to be quantized by `scheme` (None = stays float) in the product that it is on its way to.

    `enabled=False` switches the fake quantization of both operands of that product off. Every other torch function sees
    `original`.
    """

    original: Tensor
    scheme: TensorScheme | None
    enabled: bool = True

    @classmethod
    def __torch_function__(
        cls,
        func: Callable[..., Any],
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        return called(func, args, kwargs or {}, lambda plain, named: func(*plain, **named))


def called(
    func: Callable[..., Any],
    args: Sequence[Any],
    kwargs: Mapping[str, Any],
    otherwise: Callable[[tuple[Any, ...], dict[str, Any]], Any],
) -> Any:
    """A product by the one path of the layers; anything else is `otherwise` of the arguments, without their wraps."""
    product = PRODUCTS.get(func)
    if product is not None:
        return product(*args, **kwargs)
    plain, named = tree_map(bare, (tuple(args), dict(kwargs)))
    return otherwise(plain, named)


def bare(arg: Any) -> Any:
    """A wrapped input's own tensor; anything else as it is."""
    return arg.original if isinstance(arg, WrappedInput) else arg


def weight_operand(weight: FakeQuantizedTensor) -> Operand:
    """The weight [out, in] on its way into a product, with the straight-through gradient to it."""
    numbers = original_of(weight)
    return fake_operand(numbers.mT if weight.transposed else numbers, weight.scheme.weight)


def linear_stages(x: WrappedInput, weight: FakeQuantizedTensor, bias: Tensor | None) -> LayerStages:
    """Every intermediate of x @ weight.T + bias. Raises ValueError when the dtypes are not the weight's."""
    check_activation_dtype(x.original, weight.dtype)
    check_bias_dtype(bias, weight.dtype)
    operand = None if x.scheme is None else fake_operand(x.original, x.scheme)
    return layer_stages(x.original, operand, weight_operand(weight), bias, weight.scheme, weight.dtype)


def embedding_stages(indices: Tensor, weight: FakeQuantizedTensor, padding_idx: int | None) -> LayerStages:
    """Every intermediate of weight[indices]."""
    return lookup_stages(indices, weight_operand(weight), weight.scheme, weight.dtype, padding_idx)


def _linear(input: Tensor | WrappedInput, weight: FakeQuantizedTensor, bias: Tensor | None = None) -> Tensor:
    x = _wrapped(input, weight)
    return linear_stages(x, weight, bias).output if x.enabled else F.linear(x.original, original_of(weight), bias)


def _mm(input: Tensor | WrappedInput, mat2: FakeQuantizedTensor) -> Tensor:
    return _linear(input, _rows_of(mat2))


def _rmatmul(mat2: FakeQuantizedTensor, input: Tensor | WrappedInput) -> Tensor:
    return _mm(input, mat2)


def _addmm(
    input: Tensor, mat1: Tensor | WrappedInput, mat2: FakeQuantizedTensor, *, beta: float = 1, alpha: float = 1
) -> Tensor:
    if beta != 1 or alpha != 1:
        raise ValueError(
            f"beta is {beta} and alpha is {alpha}; a product under ProductRules is not scaled: use 1 and 1"
        )
    return _linear(mat1, _rows_of(mat2), input)


def _embedding(
    input: Tensor | WrappedInput,
    weight: FakeQuantizedTensor,
    padding_idx: int | None = None,
    max_norm: float | None = None,
    norm_type: float = 2.0,
    scale_grad_by_freq: bool = False,
    sparse: bool = False,
) -> Tensor:
    if max_norm is not None or scale_grad_by_freq or sparse:
        raise ValueError("an embedding with max_norm, scale_grad_by_freq or sparse is not what quantization keeps")
    if isinstance(input, WrappedInput) and not input.enabled:
        return F.embedding(input.original, original_of(weight), padding_idx)
    return embedding_stages(bare(input), weight, padding_idx).output


def _wrapped(x: Tensor | WrappedInput, weight: FakeQuantizedTensor) -> WrappedInput:
    """The input as its layer's hook wrapped it. A weight whose scheme quantizes no input needs no hook."""
    if not hasattr(weight, "scheme"):
        raise ValueError("an input was wrapped for a layer whose weight is a plain Tensor; wrap it for its own layer")
    if isinstance(x, WrappedInput):
        return x
    if weight.scheme.activation is not None:
        raise ValueError(
            "the weight's scheme quantizes the input too, and this input comes from no layer that prepare hooked: call "
            "the layer, or pass WrappedInput(x, weight.scheme.activation)"
        )
    return WrappedInput(x, None)


def _rows_of(mat2: FakeQuantizedTensor) -> FakeQuantizedTensor:
    """The weight [N, K] whose transpose a product was given."""
    if not getattr(mat2, "transposed", False):
        raise ValueError("a product takes the input first, then the weight with its rows turned: write x @ weight.t()")
    return mat2.t()  # type: ignore[return-value]  # the subclass keeps itself


PRODUCTS: Final[Mapping[Callable[..., Any], Callable[..., Tensor]]] = {
    F.linear: _linear,
    F.embedding: _embedding,
    torch.mm: _mm,
    torch.matmul: _mm,
    torch.addmm: _addmm,
    Tensor.mm: _mm,
    Tensor.matmul: _mm,
    Tensor.__matmul__: _mm,
    Tensor.__rmatmul__: _rmatmul,
    Tensor.addmm: _addmm,
}
