"""FakeQuantizedTensor: a float tensor that is fake quantized where it meets a product, and is itself anywhere else."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor

from quant.scheme import QuantScheme
from quant.subclass.moves import dispatched
from quant.subclass.products import called
from quant.subclass.shards import Shards


class FakeQuantizedTensor(Shards, Tensor):
    """A float weight [out, in], or its transpose, with the scheme of its layer.

    `original` holds the numbers, in this tensor's own shape; optimizers, copies and casts reach it. Gradients are plain
    tensors and belong to this one. A product or a lookup (quant.subclass.products) quantizes it; what would read
    the numbers in another product raises.
    """

    original: Tensor
    scheme: QuantScheme
    transposed: bool

    @staticmethod
    def __new__(cls, original: Tensor, scheme: QuantScheme, transposed: bool = False) -> FakeQuantizedTensor:
        made: FakeQuantizedTensor = Tensor._make_wrapper_subclass(
            cls,
            original.size(),
            strides=original.stride(),
            storage_offset=original.storage_offset(),
            dtype=original.dtype,
            device=original.device,
            layout=original.layout,
        )
        return made

    def __init__(self, original: Tensor, scheme: QuantScheme, transposed: bool = False) -> None:
        self.original, self.scheme, self.transposed = original, scheme, transposed

    def __repr__(self, *, tensor_contents: Any = None) -> str:  # type: ignore[override]  # torch leaves its own untyped
        scheme = self.scheme.weight
        way = ", transposed" if self.transposed else ""
        needs = ", requires_grad=True" if self.requires_grad else ""
        return f"FakeQuantizedTensor({self.original!r}, bits={scheme.bits}, {scheme.granularity}{way}{needs})"

    def __tensor_flatten__(self) -> tuple[list[str], tuple[QuantScheme, bool]]:
        return ["original"], (self.scheme, self.transposed)

    @classmethod
    def __tensor_unflatten__(
        cls,
        inner: Mapping[str, Tensor],
        meta: tuple[QuantScheme, bool],
        outer_size: torch.Size,
        outer_stride: tuple[int, ...],
    ) -> FakeQuantizedTensor:
        return cls(inner["original"], *meta)

    @classmethod
    def __torch_function__(
        cls,
        func: Callable[..., Any],
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        return called(func, args, kwargs or {}, partial(torch._C._disabled_torch_function_impl, func, types))

    @classmethod
    def __torch_dispatch__(  # type: ignore[override]  # torch types it as an instance's method
        cls,
        func: Any,
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        return dispatched(cls, func, args, kwargs or {})
