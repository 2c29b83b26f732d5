"""What a backend is: something that can run a flow on a layer and return the trace of its stages."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

from torch import Tensor, nn

from parity.lanes import Flow, Lane
from parity.trace import Trace
from quant import QuantScheme


@runtime_checkable
class Backend(Protocol):
    """Implemented by a third party and found by the entry point `parity.backends`.

    A backend never compares and never judges. It raises ValueError for a scheme without meaning, and NotExpressible for
    one that has a meaning but no counterpart in this backend.
    """

    name: str
    flows: tuple[Flow, ...]

    def unrun(self, lane: Lane) -> str | None:
        """Why this lane cannot run on this machine ("no cuda device"), or None when it can."""
        ...

    def trace(
        self,
        lane: Lane,
        layer: nn.Module,
        x: Tensor,
        scheme: QuantScheme,
        steps: int = 0,
        *,
        gradients: bool = False,
    ) -> Trace:
        """The stages of `lane.flow` on a float nn.Linear or nn.Embedding (never modified) and its input x.

        `steps` is the number of training steps between prepare and convert; PTQ is then given the trained weights.
        `gradients` asks prepare for the stages of parity.gradients; it is given only on cells with grad:yes.
        """
        ...


@runtime_checkable
class Declares(Protocol):
    """A backend that says, flow by flow, what it makes of a scheme: the engine then gives its bits under that."""

    def declared(self, lane: Lane, layer: nn.Module, scheme: QuantScheme) -> QuantScheme:
        """The scheme that the lane's flow carries out on a float layer when it is asked for `scheme`."""
        ...


@runtime_checkable
class Trains(Protocol):
    """A backend that hands out the parameters that its flows quantize after training steps: an explanation of such a
    cell starts from them.
    """

    def trained(self, lane: Lane, layer: nn.Module, x: Tensor, scheme: QuantScheme, steps: int) -> nn.Module:
        """A layer with the float weight and bias that `lane`'s flow has after `steps`; `layer` is not modified."""
        ...


class NotExpressible(Exception):  # noqa: N818  (an answer about a scheme, not a fault)
    """This backend has no counterpart of the scheme; the message says what it lacks."""
