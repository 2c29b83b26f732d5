"""A torch function with quantized operands, carried out as its kind says: one function for each kind."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.utils._pytree import tree_leaves, tree_map

from quant.propagation import Propagation
from quant.quantized_tensor.decisions import Compared, LayoutCodes, MixedElementwise, MovedScales
from quant.quantized_tensor.extremes import COMPARING, of_codes
from quant.quantized_tensor.kinds import Kind
from quant.quantized_tensor.moved import moved, moved_alone
from quant.quantized_tensor.products import product
from quant.whole import whole

if TYPE_CHECKING:
    from quant.quantized_tensor.tensor import QuantizedTensor


@dataclass(frozen=True, slots=True, eq=False)
class Call:
    """A torch function, the name of its operation, and what it was given; `leader` is the first quantized operand."""

    cls: type[QuantizedTensor]
    function: Callable[..., Any]
    operation: str
    args: Sequence[Any]
    kwargs: Mapping[str, Any]
    leader: QuantizedTensor

    def on_values(self) -> Any:
        """The function of the dequantized operands."""
        values = tree_map(self._value, (list(self.args), dict(self.kwargs)))
        return self.function(*values[0], **values[1])

    def _value(self, leaf: Any) -> Any:
        return leaf.dequantize() if isinstance(leaf, self.cls) else leaf

    def tensors(self) -> list[Tensor]:
        """The floating-point operands, quantized or not, in their order."""
        leaves = tree_leaves((list(self.args), dict(self.kwargs)))
        return [leaf for leaf in leaves if isinstance(leaf, Tensor) and leaf.is_floating_point()]

    def starts_quantized(self) -> bool:
        """Whether the first argument is the quantized tensor."""
        return bool(self.args) and self.args[0] is self.leader


@whole
def carried_out(
    cls: type[QuantizedTensor], function: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any]
) -> Any:
    """function(*args, **kwargs) by the contract of its quantized operands.

    Raises ValueError for operands of two contracts, and for what the contract refuses.
    """
    if not args and "input" in kwargs:  # the first argument by its name
        args, kwargs = (kwargs["input"],), {name: value for name, value in kwargs.items() if name != "input"}
    operands = [leaf for leaf in tree_leaves((list(args), dict(kwargs))) if isinstance(leaf, cls)]
    contracts = dict.fromkeys(operand.contract for operand in operands)
    if len(contracts) > 1:
        names = " and ".join(contract.name for contract in contracts)
        raise ValueError(f"the operands follow the contracts {names}; one operation follows one")
    call = Call(cls, function, _operation(function, args, kwargs), args, kwargs, operands[0])
    kind = operands[0].contract.kind_of(call.operation)
    if kwargs.get("out") is not None:
        kind = Kind.REFUSE
    return CARRIED_OUT[kind](call)


def _operation(function: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any]) -> str:
    """The name of a function's operation: a property's own, and apart where one name means two things."""
    name: str = getattr(function, "__name__", "")
    if name == "__get__":
        return str(function.__self__.__name__)  # type: ignore[attr-defined]  # a property's getter
    if name in ("max", "min") and isinstance(kwargs.get("other", args[1] if len(args) > 1 else None), Tensor):
        return name + "imum"
    return "floor_divide" if kwargs.get("rounding_mode") is not None else name


def _attribute(call: Call) -> Any:
    if call.operation == "requires_grad_" and (
        call.args[1:] != (False,) and call.kwargs.get("requires_grad") is not False
    ):
        raise ValueError("codes have no gradient; use nn.Parameter(tensor, requires_grad=False), or prepare to train")
    with torch._C.DisableTorchFunctionSubclass():
        return call.function(*call.args, **call.kwargs)


def _layout(call: Call) -> Any:
    if not call.starts_quantized():
        return call.on_values()
    if any(isinstance(argument, torch.dtype) for argument in (*call.args, *call.kwargs.values())):
        raise ValueError(f"{call.operation} would read codes as numbers of another dtype; dequantize first")
    rest, leader = call.args[1:], call.leader
    if call.operation in STILL:
        return leader.of_each_part(lambda part: call.function(part, *rest, **call.kwargs))
    several = leader.quantized.qparams.scale.numel() > 1
    if several and leader.contract.layout_codes is LayoutCodes.REQUANTIZED:
        return _quantized(leader, call.on_values())
    move = moved_alone if several and leader.contract.moved_scales is MovedScales.IN_PLACE else moved
    parts = move(leader.quantized, lambda tensor: call.function(tensor, *rest, **call.kwargs))
    return tree_map(leader.with_quantized, parts)


# Layout operations that leave every code where it is.
STILL = ("clone", "contiguous", "detach", "data")


def _device(call: Call) -> Any:
    """`to`, `cpu` or `cuda` of every part; a dtype among the arguments must be the tensor's own to keep the codes."""
    given = (*call.args[1:], *call.kwargs.values())
    dtypes = [
        argument if isinstance(argument, torch.dtype) else argument.dtype for argument in given if _typed(argument)
    ]
    if not call.starts_quantized() or any(dtype is not call.leader.dtype for dtype in dtypes):
        return call.on_values()
    rest, kwargs = tree_map(
        lambda argument: argument.device if isinstance(argument, Tensor) else argument,
        (
            [argument for argument in call.args[1:] if not isinstance(argument, torch.dtype)],
            {name: argument for name, argument in call.kwargs.items() if not isinstance(argument, torch.dtype)},
        ),
    )

    def placed(tensor: Tensor) -> Tensor:
        stays = call.operation == "to" and not rest and not kwargs  # it was given a dtype alone
        result: Tensor = tensor if stays else call.function(tensor, *rest, **kwargs)
        return result

    return call.leader.of_each_part(placed)


def _typed(argument: Any) -> bool:
    return isinstance(argument, torch.dtype | Tensor)


def _copy(call: Call) -> Any:
    target, source = call.args[0], call.args[1]
    if not isinstance(target, call.cls):
        return call.on_values()
    same = isinstance(source, call.cls) and source.dtype is target.dtype and source.shape == target.shape
    if not same or (source.scheme, source.tensor_scheme) != (target.scheme, target.tensor_scheme):
        raise ValueError(
            f"copy_ writes the codes of another QuantizedTensor of the same scheme, dtype and shape; it was given a "
            f"{type(source).__name__} of shape {tuple(source.shape)}: quantize it by this scheme first"
        )
    for mine, its in zip(target.parts(), source.parts(), strict=True):
        mine.copy_(its)
    return target


def _requantize(call: Call) -> Any:
    first, *others = call.tensors()
    _refuse_mixed(call, (first, *others))
    return _quantized(call.leader, _values(call)) if isinstance(first, call.cls) else call.on_values()


def _propagate(call: Call) -> Any:
    operands = call.tensors()
    _refuse_mixed(call, operands)
    mixed = not all(isinstance(operand, call.cls) for operand in operands)
    return call.on_values() if mixed else _followed(call.leader, call.on_values())


# The keywords by which torch's products name their operands.
OPERAND_OF: Mapping[str, str] = {
    "input": "left",
    **dict.fromkeys(("other", "mat2", "vec", "tensor", "weight"), "right"),
}


def _product(call: Call) -> Any:
    operands = dict(zip(("left", "right", "bias"), call.args, strict=False))
    operands |= {OPERAND_OF.get(name, name): value for name, value in call.kwargs.items()}
    left, right, bias = operands["left"], operands["right"], operands.get("bias")
    if call.operation == "__rmatmul__":
        left, right = right, left
    if call.operation == "linear":
        right = right.mT if right.dim() > 1 else right
    if isinstance(bias, call.cls):
        bias = bias.dequantize()
    if not isinstance(left, call.cls) and not isinstance(right, call.cls):
        return call.on_values()
    value, followed = product(call.cls, left, right, bias)
    return value if followed is None else _followed(followed, value)


def _values(call: Call) -> Any:
    """The function of the dequantized operands, but for comparisons under a contract that compares codes."""
    compares_codes = call.operation in COMPARING and call.leader.contract.compared is Compared.CODES
    return of_codes(call) if compares_codes else call.on_values()


def _refuse(call: Call) -> Any:
    if not call.starts_quantized() and call.kwargs.get("out") is None:
        return call.on_values()  # a float tensor is written to, from what this one stands for
    raise ValueError(
        f"{call.operation} would write into quantized storage, which has no meaning under one scale; use the operation "
        "that returns a new tensor, or dequantize first"
    )


def _refuse_mixed(call: Call, operands: Sequence[Tensor]) -> None:
    quantized = [isinstance(operand, call.cls) for operand in operands]
    starts_float = call.operation in STARTING_FLOAT and not quantized[0]
    refuses = call.leader.contract.mixed_elementwise is MixedElementwise.REFUSED
    if refuses and not all(quantized) and not starts_float:
        raise ValueError(
            f"{call.operation} was given a quantized and a float tensor, which the contract "
            f"{call.leader.contract.name} refuses; dequantize the one or quantize the other"
        )


# Whose first operand, being float, has the others dequantized under every contract.
STARTING_FLOAT = ("cat", "concat", "concatenate", "stack")


def _followed(tensor: QuantizedTensor, result: Any) -> Any:
    """A float result as the propagation of `tensor` has it."""
    return _quantized(tensor, result) if tensor.scheme.propagation is Propagation.PROPAGATE else result


def _quantized(tensor: QuantizedTensor, result: Any) -> Any:
    """Every floating-point tensor of a result quantized by the scheme of `tensor`, with scales of its own."""
    return tree_map(
        lambda leaf: tensor.requantized(leaf) if isinstance(leaf, Tensor) and leaf.is_floating_point() else leaf, result
    )


CARRIED_OUT: Mapping[Kind, Callable[[Call], Any]] = {
    Kind.ATTRIBUTE: _attribute,
    Kind.LAYOUT: _layout,
    Kind.DEVICE: _device,
    Kind.COPY: _copy,
    Kind.REQUANTIZE: _requantize,
    Kind.PROPAGATE: _propagate,
    Kind.PRODUCT: _product,
    Kind.INDEX: _values,
    Kind.BOOL: Call.on_values,
    Kind.FLOAT: Call.on_values,
    Kind.REFUSE: _refuse,
}
