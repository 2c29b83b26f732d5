"""torch's operations as data: what each is called with on a [4, 16] tensor, quantized or float, by the kind it is.

The kinds are said here once more, as Burn's #3042 has them, and not read from the contract under test.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from quant.quantized_tensor import Kind

Row = Callable[[Tensor], Any]
INDICES = torch.tensor([[3, 0, 9, 3], [1, 1, 15, 0], [2, 5, 7, 8], [4, 4, 4, 4]])
MASK = torch.arange(64).reshape(4, 16) % 3 == 0


def call(name: str, *args: Any, **kwargs: Any) -> Row:
    """t -> t.name(...)"""
    return lambda t: getattr(t, name)(*args, **kwargs)


def read(name: str) -> Row:
    """t -> t.name"""
    return lambda t: getattr(t, name)


def with_itself(name: str) -> Row:
    """t -> t.name(t turned round)"""
    return lambda t: getattr(t, name)(t.flip(1))


def function(name: str, *args: Any, **kwargs: Any) -> Row:
    """t -> torch.name(t, ...)"""
    return lambda t: getattr(torch, name)(t, *args, **kwargs)


def _named(make: Callable[[str], Row], names: str) -> dict[str, Row]:
    return {name: make(name) for name in names.split()}


LAYOUT: dict[str, Row] = {
    "reshape": call("reshape", 8, 8),
    "reshape_as": call("reshape_as", torch.zeros(2, 32)),
    "view": call("view", 4, 4, 4),
    "view_as": call("view_as", torch.zeros(4, 2, 8)),
    "flatten": call("flatten"),
    "unflatten": call("unflatten", 1, (2, 8)),
    "ravel": call("ravel"),
    "squeeze": lambda t: t[:1].squeeze(0),
    "unsqueeze": call("unsqueeze", 1),
    "expand": call("expand", 2, 4, 16),
    "expand_as": call("expand_as", torch.zeros(3, 4, 16)),
    "broadcast_to": function("broadcast_to", (2, 4, 16)),
    "transpose": call("transpose", 0, 1),
    "swapaxes": call("swapaxes", 0, 1),
    "swapdims": call("swapdims", 0, 1),
    "t": call("t"),
    "T": read("T"),
    "mT": read("mT"),
    "permute": lambda t: t.unsqueeze(0).permute(2, 0, 1),
    "movedim": call("movedim", 0, 1),
    "moveaxis": call("moveaxis", 0, 1),
    "flip": call("flip", (0, 1)),
    "fliplr": call("fliplr"),
    "flipud": call("flipud"),
    "select": call("select", 0, 2),
    "index_select": call("index_select", 1, torch.tensor([7, 7, 0, 12])),
    "narrow": call("narrow", 1, 4, 8),
    "chunk": call("chunk", 2, 1),
    "split": call("split", 8, 1),
    "split_with_sizes": call("split_with_sizes", (4, 12), 1),
    "tensor_split": call("tensor_split", 3, 0),
    "hsplit": call("hsplit", 2),
    "vsplit": call("vsplit", 2),
    "unbind": call("unbind"),
    "__getitem__": lambda t: t[1:3, 2:12:2],
    "__getitem__ of indices": lambda t: t[[3, 0, 1]],
    "__getitem__ of a mask": lambda t: t[MASK],
    "clone": call("clone"),
    "contiguous": call("contiguous"),
    "detach": call("detach"),
    "data": read("data"),
}
DEVICE: dict[str, Row] = {
    "to": call("to", "cpu"),
    "to of a dtype it has": lambda t: t.to(t.dtype),
    "to of both": lambda t: t.to("cpu", t.dtype, copy=True),
    "cpu": call("cpu"),
}
REQUANTIZE: dict[str, Row] = {
    "gather": call("gather", 1, INDICES),
    "take_along_dim": call("take_along_dim", INDICES, 1),
    "repeat": call("repeat", 2, 1),
    "tile": call("tile", (1, 2)),
    "repeat_interleave": call("repeat_interleave", 2, 0),
    "abs": call("abs"),
    "absolute": function("absolute"),
    "__abs__": lambda t: abs(t),
    "cat": lambda t: torch.cat([t, t.flip(0)]),
    "concat": lambda t: torch.concat((t, t), dim=1),
    "concatenate": lambda t: torch.concatenate((t, t), dim=1),
    "stack": lambda t: torch.stack([t, t]),
    "sort": call("sort", dim=1, stable=True),
    "max": call("max"),
    "max with indices": call("max", 1),
    "min": call("min"),
    "min with indices": call("min", 0, keepdim=True),
    "amax": call("amax", 1),
    "amin": call("amin", 0),
}
PROPAGATE: dict[str, Row] = {
    **_named(
        with_itself,
        "add __add__ __radd__ sub subtract __sub__ __rsub__ mul multiply __mul__ __rmul__ div divide true_divide "
        "__truediv__ __rtruediv__",
    ),
    "__div__": lambda t: t / 3,
    "__rdiv__": lambda t: 3 / t,
    "rsub": function("rsub", 1.5),
    "pow": call("pow", 2),
    "__pow__": lambda t: t**3,
    "__rpow__": lambda t: 2**t,
    "clamp": call("clamp", -0.5, 0.5),
    "clip": call("clip", -0.5, 0.5),
    "clamp_min": call("clamp_min", 0.1),
    "clamp_max": call("clamp_max", 0.1),
    "sum": call("sum"),
    "sum of rows": call("sum", 1, keepdim=True),
    "prod": call("prod", 1),
    "mean": call("mean", 0),
    **_named(call, "square neg negative __neg__ reciprocal exp log log1p sqrt cos sin tan cosh sinh tanh erf"),
}
LATER: dict[str, tuple[Kind, Row]] = {
    "topk": (Kind.REQUANTIZE, call("topk", 3, 1)),
    "cumsum": (Kind.PROPAGATE, call("cumsum", 1)),
    "cumprod": (Kind.PROPAGATE, call("cumprod", 1)),
    "cummin": (Kind.PROPAGATE, call("cummin", 1)),
    "cummax": (Kind.PROPAGATE, call("cummax", 1)),
}
# Of the tensor [4, 16] and a float or quantized one whose last two dimensions are [16, 3].
PRODUCT: dict[str, Callable[[Tensor, Tensor], Any]] = {
    "matmul": torch.matmul,
    "__matmul__": lambda t, other: t @ other,
    "__rmatmul__": lambda t, other: other.mT.__matmul__(t.mT).mT,
    "mm": torch.mm,
    "bmm": lambda t, other: torch.bmm(t.unsqueeze(0), other.unsqueeze(0)),
    "mv": lambda t, other: t.mv(other[:, 0]),
    "dot": lambda t, other: t[1].dot(other[:, 1]),
    "linear": lambda t, other: torch.nn.functional.linear(t, other.mT),
}
REFUSE: dict[str, Row] = {
    "__setitem__": lambda t: t.__setitem__(0, 1.0),
    "__set__": lambda t: setattr(t, "data", t),
    **_named(
        lambda name: call(name, 2),
        "__iadd__ __isub__ __imul__ __itruediv__ __idiv__ __ifloordiv__ __imod__ __ipow__",
    ),
    "add_, by its name": call("add_", 1),
    "fill_, by its name": call("fill_", 0),
    "out=": lambda t: torch.add(t, 1, out=torch.empty(4, 16)),
}
# Whose answers are not those of a plain tensor: a quantized one has no memory of its own, and is nobody's view.
OF_ITS_OWN = ("data_ptr", "untyped_storage", "_is_view", "_base", "__hash__", "requires_grad_")

INDEX: dict[str, Row] = {
    "argmax": call("argmax", 1),
    "argmin": call("argmin", 0),
    "argsort": call("argsort", dim=1, stable=True),
    **_named(call, "nonzero argwhere count_nonzero"),
}
BOOL: dict[str, Row] = {
    **_named(
        with_itself,
        "eq ne lt le gt ge __eq__ __ne__ __lt__ __le__ __gt__ __ge__ not_equal less less_equal greater greater_equal "
        "equal isclose allclose logical_and logical_or logical_xor",
    ),
    **_named(call, "any all isnan isinf isfinite isposinf isneginf signbit logical_not"),
    "any of rows": call("any", 1),
}
FLOAT: dict[str, Row] = {
    **_named(
        with_itself,
        "remainder fmod __mod__ __rmod__ floor_divide __floordiv__ __rfloordiv__ maximum minimum max min",
    ),
    "div of floors": lambda t: t.div(0.3, rounding_mode="floor"),
    "scatter": lambda t: t.scatter(1, INDICES, t[:, :4]),
    "scatter_add": lambda t: t.scatter_add(1, INDICES, t[:, :4]),
    "scatter_reduce": lambda t: t.scatter_reduce(1, INDICES, t[:, :4], "amax"),
    "select_scatter": lambda t: t.select_scatter(t[0], 0, 3),
    "slice_scatter": lambda t: t.slice_scatter(t[:2], 0, 1, 3),
    "index_put": lambda t: t.index_put((torch.tensor([1, 2]),), t[:2]),
    "index_add": lambda t: t.index_add(0, torch.tensor([1, 1]), t[:2]),
    "index_copy": lambda t: t.index_copy(0, torch.tensor([1, 2]), t[:2]),
    "index_fill": call("index_fill", 0, torch.tensor([1]), 0.25),
    "masked_fill": call("masked_fill", MASK, 0.25),
    "masked_scatter": lambda t: t.masked_scatter(MASK, t),
    "where": lambda t: torch.where(MASK, t, t.flip(0)),
    **_named(call, "floor ceil round trunc float half bfloat16 double"),
    "to of another dtype": call("to", torch.float16),
    "softmax, which has no row": call("softmax", 1),
    "atan2, which has no row": with_itself("atan2"),
}
