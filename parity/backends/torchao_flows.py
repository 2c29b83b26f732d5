"""torchao's public flows, each from a float layer to the trace of what it became. Imports torchao."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from parity.backends.protocol import NotExpressible
from parity.backends.torchao_configs import convert_config, legacy_quantizer, prepare_config, ptq_config
from parity.backends.torchao_gaps import Wanted
from parity.backends.torchao_package import quiet_import
from parity.backends.torchao_stages import legacy_trace, prepared_trace, stored_trace
from parity.gradients import with_gradients
from parity.lanes import Flow
from parity.trace import Trace
from parity.training import float_layer_like, train

with quiet_import():
    from torchao.quantization import quantize_


def config_trace(layer: nn.Module, x: Tensor, wanted: Wanted, steps: int, gradients: bool = False) -> Trace:
    """quantize_ with a PTQ config, or with QATConfig's prepare and convert steps."""
    if wanted.flow is Flow.PTQ:
        if steps:
            layer = config_trained(layer, x, wanted, steps)
        return _read(stored_trace, _told(layer, ptq_config(wanted)), x, wanted)
    prepared = train(_told(_own(layer) if steps else layer, prepare_config(wanted)), x, steps).eval()
    if wanted.flow is Flow.QAT_PREPARE:
        return _read_prepared(prepared, x, wanted, gradients)
    return _read(stored_trace, _told(prepared, convert_config(wanted)), x, wanted)


def config_trained(layer: nn.Module, x: Tensor, wanted: Wanted, steps: int) -> nn.Module:
    """The float layer that each flow of the configs quantizes after its steps."""
    return float_layer_like(layer, train(_told(_own(layer), prepare_config(wanted)), x, steps))


def legacy_trained(layer: nn.Module, x: Tensor, wanted: Wanted, steps: int) -> nn.Module:
    """The same of a legacy quantizer."""
    with _unwarned():
        prepared = legacy_quantizer(wanted).prepare(nn.Sequential(_own(layer)))[0]
    return float_layer_like(layer, train(prepared, x, steps))


def legacy_trace_of(layer: nn.Module, x: Tensor, wanted: Wanted, steps: int, gradients: bool = False) -> Trace:
    """prepare and convert of the legacy QAT quantizers; raises NotExpressible for a weight that convert refuses."""
    quantizer = legacy_quantizer(wanted)
    model = nn.Sequential(_own(layer) if steps else _alias(layer))
    with _unwarned():
        prepared = train(quantizer.prepare(model)[0], x, steps).eval()
        if wanted.flow is Flow.QAT_PREPARE:
            return _read_prepared(prepared, x, wanted, gradients)
        if bool(prepared.weight.isnan().any()):
            raise NotExpressible("the weight holds NaN, which the legacy QAT quantizers refuse to convert")
        with torch.no_grad():
            converted = quantizer.convert(nn.Sequential(prepared))[0]
    return _read(legacy_trace, converted, x, wanted)


@contextmanager
def _unwarned() -> Iterator[None]:
    """torchao warns of its own use of its own deprecated enumeration."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Deprecation: TorchAODType")
        yield


def _told(layer: nn.Module, config: Any) -> nn.Module:
    """The layer that quantize_ makes of `layer`, which keeps its weight."""
    model = nn.Sequential(_alias(layer))
    quantize_(model, config, filter_fn=_is_layer)
    return model[0]


def _is_layer(module: nn.Module, name: str) -> bool:
    return isinstance(module, nn.Linear | nn.Embedding)


def _read(reader: Callable[[nn.Module, Tensor, Wanted], Trace], module: nn.Module, x: Tensor, wanted: Wanted) -> Trace:
    with torch.no_grad():
        return reader(module, x, wanted)


def _read_prepared(prepared: nn.Module, x: Tensor, wanted: Wanted, gradients: bool) -> Trace:
    trace = _read(prepared_trace, prepared, x, wanted)
    return with_gradients(trace, prepared, x) if gradients else trace


def _alias(layer: nn.Module) -> nn.Module:
    """A second module with the same parameters: quantize_ replaces parameters and modules, never values."""
    alias = copy.copy(layer)
    alias._parameters = dict(layer._parameters)
    return alias


def _own(layer: nn.Module) -> nn.Module:
    """A copy whose parameters may be trained."""
    return copy.deepcopy(layer)
