"""QAT: prepare makes layers that train through fake quantization, convert stores what they have learned."""

from __future__ import annotations

from torch import nn

from quant.embedding import FakeQuantizedEmbedding, check_supported
from quant.linear import FakeQuantizedLinear
from quant.mechanism import Mechanism
from quant.scheme import QuantScheme
from quant.subclass.layers import converted, is_wrapped, prepare_tensors
from quant.swap import FilterFn, swap_modules
from quant.tied import StoredOnce


def prepare(
    model: nn.Module,
    scheme: QuantScheme,
    filter_fn: FilterFn | None = None,
    *,
    mechanism: Mechanism | str = Mechanism.MODULE_SWAP,
) -> nn.Module:
    """Make every nn.Linear and nn.Embedding of `model` train through fake quantization, in place; return the model.

    By module swap the new layers hold the same Parameters, so an optimizer made before goes on working; a model that is
    itself such a layer is returned as the new layer. By subclass the layers stay, with new Parameters: make the
    optimizer afterwards. Raises ValueError when nothing was chosen.
    """
    if mechanism not in tuple(Mechanism):
        raise ValueError(f"mechanism is {mechanism!r}; it must be one of {', '.join(Mechanism)}")
    if mechanism == Mechanism.SUBCLASS:
        count = prepare_tensors(model, scheme, filter_fn)
    else:
        model, count = _swapped(model, scheme, filter_fn)
    if count == 0:
        raise ValueError("prepare found no nn.Linear or nn.Embedding that filter_fn lets through; nothing was prepared")
    return model


def _swapped(model: nn.Module, scheme: QuantScheme, filter_fn: FilterFn | None) -> tuple[nn.Module, int]:
    def replace(module: nn.Module) -> nn.Module | None:
        if is_wrapped(module):
            return None
        if type(module) is nn.Linear:
            return FakeQuantizedLinear(module.weight, module.bias, scheme)
        if type(module) is nn.Embedding:
            check_supported(module)
            return FakeQuantizedEmbedding(module.weight, module.padding_idx, scheme)
        return None

    return swap_modules(model, replace, filter_fn)


def convert(model: nn.Module) -> nn.Module:
    """Replace every prepared layer of `model` in place by the quantized layer it stands for, and return the model.

    Everything is taken from what `prepare` stored. Layers that share a Parameter and its scheme share the codes too.
    Raises ValueError for a model without prepared layers, for an activation whose range was never observed, and for
    Parameters that are sharded over processes.
    """
    sharded = next((name for name, value in model.named_parameters() if hasattr(value, "full_tensor")), None)
    if sharded is not None:
        raise ValueError(
            f"{sharded} is sharded over processes, and the codes of a shard are not the shard of the codes; gather the "
            "state dict, load it into a prepared model that is not sharded, and convert that"
        )
    once = StoredOnce()

    def replace(module: nn.Module) -> nn.Module | None:
        if is_wrapped(module):
            return converted(module, once)
        if not isinstance(module, FakeQuantizedLinear | FakeQuantizedEmbedding):
            return None
        shared = module.weight_range is None
        return module.converted(once.of(module.weight, module.scheme) if shared else None)

    model, count = swap_modules(model, replace)
    if count == 0:
        raise ValueError("convert found no layer that prepare made; call prepare(model, scheme) before convert(model)")
    return model
