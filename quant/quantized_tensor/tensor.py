"""QuantizedTensor: codes and scales that torch's operations take for the tensor they stand for, by a contract."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from quant.codes import Quantized, quantize
from quant.dequantize import dequantize
from quant.mapping import Extent
from quant.qparams import QParams, choose_qparams
from quant.quantized_tensor.contract import ENGINE, Contract
from quant.quantized_tensor.decisions import PackedAxis, RequantizedRange, SourceOrder
from quant.quantized_tensor.described import Described, exported
from quant.quantized_tensor.memory import as_it_lies, unpacked_along_last
from quant.quantized_tensor.operations import carried_out
from quant.rule_sets import ENGINE_PRODUCT
from quant.scheme import QuantScheme, TensorScheme
from quant.statistic import Own


class QuantizedTensor(Tensor):
    """A `Quantized` with the dtype it dequantizes to, its scheme, and the contract that torch's operations follow.

    `scheme.weight` is the scheme of this tensor, but for the granularity of codes that were moved (`tensor_scheme`);
    `scheme.product` and `scheme.propagation` say how it is multiplied and what becomes of results. No gradient reaches
    the codes. Raises ValueError when the qparams are not of the scheme.
    """

    quantized: Quantized
    scheme: QuantScheme
    contract: Contract

    @staticmethod
    def __new__(
        cls, quantized: Quantized, scheme: QuantScheme, dtype: torch.dtype, contract: Contract = ENGINE
    ) -> QuantizedTensor:
        codes = quantized.codes
        made: QuantizedTensor = Tensor._make_wrapper_subclass(
            cls,
            codes.size(),
            strides=codes.stride(),
            storage_offset=codes.storage_offset(),
            dtype=dtype,
            device=codes.device,
        )
        return made

    def __init__(
        self, quantized: Quantized, scheme: QuantScheme, dtype: torch.dtype, contract: Contract = ENGINE
    ) -> None:
        declared = replace(scheme.weight, granularity=quantized.qparams.scheme.granularity)
        if quantized.qparams.scheme != declared.resolved(dtype):
            raise ValueError(
                f"the qparams are of the scheme {quantized.qparams.scheme}, and the tensor's is "
                f"{declared.resolved(dtype)}; give the scheme that the qparams were chosen by"
            )
        self.quantized, self.scheme, self.contract = quantized, scheme, contract

    @classmethod
    def from_float(cls, x: Tensor, scheme: QuantScheme | TensorScheme, contract: Contract = ENGINE) -> QuantizedTensor:
        """x quantized with scales of its own; a TensorScheme alone means exact products and float results.

        x: fp32, bf16 or fp16 of any shape the granularity divides. Raises what choose_qparams and quantize raise, and
        ValueError for a statistic that is kept elsewhere.
        """
        if isinstance(scheme, TensorScheme):
            scheme = QuantScheme(weight=scheme, product=ENGINE_PRODUCT)
        if not isinstance(scheme.weight.statistic, Own):
            raise ValueError(f"statistic is {scheme.weight.statistic}, and a tensor keeps no ranges; use Own()")
        return cls._made(x, scheme.weight, scheme, contract)

    @classmethod
    def _made(cls, x: Tensor, of: TensorScheme, scheme: QuantScheme, contract: Contract) -> QuantizedTensor:
        """x quantized by `of`, with scales of its own, read in the order that the contract says."""
        if contract.source_order is SourceOrder.MEMORY:
            x = as_it_lies(x)
        return cls(quantize(x, choose_qparams(x, of)), scheme, x.dtype, contract)

    def dequantize(self, dtype: torch.dtype | None = None) -> Tensor:
        """What the codes stand for, in `dtype` (None = this tensor's); as quant.dequantize. No gradient flows."""
        quantized = self.quantized
        if self.contract.packed_axis is PackedAxis.LAST:
            codes = unpacked_along_last(quantized.codes, quantized.qparams.scheme.bits)
            quantized = replace(quantized, codes=codes)
        return dequantize(quantized, self.dtype if dtype is None else dtype)

    @property
    def tensor_scheme(self) -> TensorScheme:
        """`scheme.weight` with the granularity of the codes, which a transposition or a slice may have turned."""
        return replace(self.scheme.weight, granularity=self.quantized.qparams.scheme.granularity)

    def requantized(self, x: Tensor) -> QuantizedTensor:
        """A float tensor quantized by this tensor's scheme and contract, with scales of its own."""
        scheme, weight = self.scheme, self.tensor_scheme
        extremes = self.contract.requantized_range is RequantizedRange.EXTREMES
        if extremes and weight.extent is not Extent.MIN_MAX:
            weight = replace(weight, extent=Extent.MIN_MAX)
            scheme = replace(scheme, weight=replace(scheme.weight, extent=Extent.MIN_MAX))
        return self._made(x, weight, scheme, self.contract)

    def with_quantized(self, quantized: Quantized) -> QuantizedTensor:
        """Other codes and qparams under this tensor's scheme."""
        return type(self)(quantized, self.scheme, self.dtype, self.contract)

    def of_each_part(self, function: Callable[[Tensor], Tensor]) -> QuantizedTensor:
        """The tensor of function(part) for each of its plain tensors."""
        parts = {name: function(part) for name, part in parts_of(self.quantized).items()}
        return self.of_parts(parts, self.described)

    def exported(self) -> QuantizedTensor:
        """This tensor as it is read back where it is exported to: itself, but for what its contract forgets."""
        return self.of_parts(*exported(parts_of(self.quantized), self.described))

    def parts(self) -> tuple[Tensor, ...]:
        """The plain tensors that hold everything: codes, scale, and what else the rules keep."""
        return tuple(parts_of(self.quantized).values())

    def __repr__(self, *, tensor_contents: Any = None) -> str:  # type: ignore[override]  # torch leaves its own untyped
        weight = self.tensor_scheme
        return (
            f"QuantizedTensor({self.dequantize()!r}, bits={weight.bits}, {weight.granularity}, "
            f"{self.scheme.propagation}, contract={self.contract.name})"
        )

    def __deepcopy__(self, memo: dict[int, Any]) -> QuantizedTensor:
        if id(self) not in memo:
            copy = self.clone()
            memo[id(self)] = nn.Parameter(copy, requires_grad=False) if isinstance(self, nn.Parameter) else copy
        copied: QuantizedTensor = memo[id(self)]
        return copied

    def __reduce_ex__(self, protocol: Any) -> tuple[Any, ...]:
        return type(self).of_parts, (parts_of(self.quantized), self.described)

    @property
    def described(self) -> Described:
        """Everything but the numbers."""
        granularity = self.quantized.qparams.scheme.granularity
        return Described(scheme=self.scheme, granularity=granularity, dtype=self.dtype, contract=self.contract)

    @classmethod
    def of_parts(cls, parts: Mapping[str, Tensor], described: Described) -> QuantizedTensor:
        """The tensor that has these parts and this description."""
        values: dict[str, Any] = {name: parts.get(name) for name in PARTS if name != "codes"}
        qparams = QParams(scheme=described.resolved, **values)
        quantized = Quantized(codes=parts["codes"], qparams=qparams)
        return cls(quantized, described.scheme, described.dtype, described.contract)

    def __tensor_flatten__(self) -> tuple[list[str], Described]:
        return [*parts_of(self.quantized)], self.described

    @classmethod
    def __tensor_unflatten__(
        cls,
        inner: Mapping[str, Tensor],
        meta: Described,
        outer_size: torch.Size,
        outer_stride: tuple[int, ...],
    ) -> QuantizedTensor:
        return cls.of_parts(inner, meta)

    def __getattr__(self, name: str) -> Tensor:
        parts = parts_of(self.quantized) if name in PARTS else {}
        if name not in parts:
            raise AttributeError(f"a QuantizedTensor has no {name}")
        return parts[name]

    @classmethod
    def __torch_function__(
        cls,
        func: Callable[..., Any],
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        return carried_out(cls, func, args, kwargs or {})

    @classmethod
    def __torch_dispatch__(  # type: ignore[override]  # torch types it as an instance's method
        cls,
        func: Any,
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        if func is torch.ops.aten.detach.default:
            return args[0].with_quantized(args[0].quantized)
        raise NotImplementedError(f"{func} reached a QuantizedTensor below the functions that its contract is about")


PARTS = ("codes", "scale", "zero_point", "global_scale", "unrounded_scale", "minimum")


def parts_of(quantized: Quantized) -> dict[str, Tensor]:
    """The plain tensors of codes and qparams by name, those that the rules keep."""
    values = {name: getattr(quantized if name == "codes" else quantized.qparams, name) for name in PARTS}
    return {name: value for name, value in values.items() if value is not None}
