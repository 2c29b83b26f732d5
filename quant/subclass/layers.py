"""Layers prepared by tensor subclass: nn.Linear and nn.Embedding as they were, with another Parameter and a hook."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from quant.embedding import QuantizedEmbedding, check_supported
from quant.linear import LayerStages, QuantizedLinear
from quant.scheme import QuantScheme
from quant.statistic import Own
from quant.stored import check_packing
from quant.subclass.products import WrappedInput, embedding_stages, linear_stages
from quant.subclass.tensor import FakeQuantizedTensor
from quant.swap import FilterFn
from quant.tied import StoredOnce


def prepare_tensors(model: nn.Module, scheme: QuantScheme, filter_fn: FilterFn | None = None) -> int:
    """Wrap the weight of every nn.Linear and nn.Embedding of `model` in place; how many layers were prepared.

    The wrapped weight is a new Parameter, the same one for layers that shared theirs. Raises ValueError for a scheme
    whose ranges are observed or learned, which takes a module to keep them.
    """
    for side, tensor in (("weight", scheme.weight), ("activation", scheme.activation)):
        if tensor is not None and not isinstance(tensor.statistic, Own):
            raise ValueError(
                f"the {side}'s statistic is {tensor.statistic}, and a tensor subclass keeps no ranges; use Own(), or "
                "the mechanism module_swap"
            )
    chosen: dict[nn.Linear | nn.Embedding, None] = {}
    for name, module in model.named_modules(remove_duplicate=False):
        if type(module) not in (nn.Linear, nn.Embedding) or is_wrapped(module):
            continue
        if filter_fn is None or filter_fn(module, name):
            if isinstance(module, nn.Embedding):
                check_supported(module)
            check_packing(module.weight, scheme)
            chosen[module] = None
    parameters: dict[Tensor, nn.Parameter] = {}
    for module in chosen:
        weight = module.weight
        if weight not in parameters:
            wrapped = FakeQuantizedTensor(weight.detach(), scheme)
            parameters[weight] = nn.Parameter(wrapped, requires_grad=weight.requires_grad)
        module.weight = parameters[weight]
        vars(module)["fake_quantization"] = True
        module.register_forward_pre_hook(wrap_input, with_kwargs=True)
        module.register_state_dict_post_hook(unwrap_weight)  # type: ignore[no-untyped-call]  # torch leaves it untyped
    return len(chosen)


def is_wrapped(module: nn.Module) -> bool:
    """Whether prepare_tensors wrapped this layer's weight, whatever has become of it since."""
    return type(module) in (nn.Linear, nn.Embedding) and "fake_quantization" in vars(module)


def wrapped_weight(module: nn.Module) -> FakeQuantizedTensor:
    """The weight that prepare_tensors wrapped. Raises ValueError where another has taken its place."""
    weight = module.weight
    if not isinstance(weight, FakeQuantizedTensor):
        raise ValueError(
            f"the weight that prepare wrapped has become a {type(weight).__name__}, which nothing quantizes: "
            "FullyShardedDataParallel flattens Parameters and load_state_dict(assign=True) replaces them; shard with "
            "fully_shard and load without assign, or prepare with the mechanism module_swap"
        )
    return weight


def converted(module: nn.Module, once: StoredOnce) -> nn.Module:
    """The layer that stores the codes of a wrapped one."""
    weight = wrapped_weight(module)
    stored = once.of(weight.original, weight.scheme)
    if isinstance(module, nn.Embedding):
        return QuantizedEmbedding(stored, module.padding_idx, weight.scheme)
    assert isinstance(module, nn.Linear)
    return QuantizedLinear(stored, module.bias, weight.scheme)


def stages_of(module: nn.Module, x: Tensor) -> LayerStages:
    """Every intermediate of module(x), for a layer that prepare_tensors prepared."""
    weight = wrapped_weight(module)
    if isinstance(module, nn.Embedding):
        return embedding_stages(x, weight, module.padding_idx)
    assert isinstance(module, nn.Linear)
    return linear_stages(WrappedInput(x, weight.scheme.activation), weight, module.bias)


def wrap_input(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
    """The forward pre-hook: the input goes into the product with the scheme it is quantized by."""
    weight = wrapped_weight(module)
    scheme = None if isinstance(module, nn.Embedding) else weight.scheme.activation
    enabled = bool(module.fake_quantization)
    if args:
        return (WrappedInput(args[0], scheme, enabled), *args[1:]), kwargs
    return args, {**kwargs, "input": WrappedInput(kwargs["input"], scheme, enabled)}


def unwrap_weight(module: nn.Module, state_dict: dict[str, Any], prefix: str, local_metadata: dict[str, Any]) -> None:
    """The state-dict hook: a checkpoint holds plain tensors, as that of the float layer does."""
    name = prefix + "weight"
    if isinstance(state_dict.get(name), FakeQuantizedTensor):
        state_dict[name] = state_dict[name].original
