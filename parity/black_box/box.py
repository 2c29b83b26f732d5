"""A backend as three functions: its own where it has them, else what its PTQ lane stores of a layer's weight."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor, nn

from parity.backends.engine import EngineBackend
from parity.backends.functions import Functions
from parity.backends.protocol import Backend, NotExpressible
from parity.bits import same_storage
from parity.lanes import Flow, Lane
from parity.trace import Trace
from quant import ProductRules, QuantScheme
from quant.scheme import ResolvedScheme

_PRODUCT: Final = ProductRules()


def functions_of(backend: Backend) -> Functions:
    """The three functions of a backend. Raises ValueError where it cannot run here, with its reason."""
    missing = backend.unrun(Lane(backend=backend.name, flow=Flow.PTQ))
    if missing is not None:
        raise ValueError(f"{backend.name} does not run here: {missing}")
    if isinstance(backend, EngineBackend):
        return Functions()
    own = getattr(backend, "functions", None)
    if isinstance(own, Functions):
        return own
    traced = _Traced(backend)
    return Functions(choose_qparams=traced.choose_qparams, quantize=traced.quantize, dequantize=traced.dequantize)


@dataclass(slots=True, eq=False)
class _Traced:
    """What a PTQ lane makes of x as the weight of a linear layer; it quantizes with qparams of its own alone."""

    backend: Backend
    trace: Trace | None = None
    x: Tensor | None = None

    def choose_qparams(self, x: Tensor, scheme: ResolvedScheme) -> tuple[Tensor, Tensor | None]:
        layer = nn.Linear(x.shape[-1], x.shape[0], bias=False, dtype=x.dtype)
        layer.weight = nn.Parameter(x.clone())
        lane = Lane(backend=self.backend.name, flow=Flow.PTQ)
        whole = QuantScheme(weight=scheme, product=_PRODUCT)
        self.x = x
        self.trace = self.backend.trace(lane, layer, torch.zeros(1, x.shape[-1], dtype=x.dtype), whole)
        return self.trace["weight.scale"].tensor, self._zero_point()

    def quantize(self, x: Tensor, scale: Tensor, zero_point: Tensor | None, scheme: ResolvedScheme) -> Tensor:
        if self.trace is None or self.x is None or not same_storage(x, self.x):
            raise NotExpressible(f"{self.backend.name} is told a weight and no qparams")
        return self.trace["weight.codes"].tensor

    def dequantize(
        self, codes: Tensor, scale: Tensor, zero_point: Tensor | None, scheme: ResolvedScheme, dtype: torch.dtype
    ) -> Tensor:
        stored = None if self.trace is None else self.trace["weight.codes"].tensor
        if self.trace is None or stored is None or not same_storage(codes, stored):
            raise NotExpressible(f"{self.backend.name} is told a weight and no codes")
        values = self.trace["weight.dequantized"].tensor
        if values.dtype is not dtype:
            raise NotExpressible(f"{self.backend.name} reads its codes back in {values.dtype} alone")
        return values

    def _zero_point(self) -> Tensor | None:
        assert self.trace is not None
        stage = self.trace.find("weight.zero_point")
        return None if stage is None else stage.tensor
