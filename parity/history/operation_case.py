"""One bug of an operation on quantized tensors as two lanes: one program, under two contracts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from parity.explanation import Cause
from parity.history.case import Causes, HistoryCase, Lanes, scheme_causes
from parity.history.operating import Operating, Program
from parity.operation_candidates import PREFIX
from quant.quantized_tensor import Contract


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class OperationCase(HistoryCase):
    """Lane A computes `program` under `contract`, lane B under the same with what `decisions` say instead."""

    program: Program
    contract: Contract
    decisions: Mapping[str, str] = field(default_factory=dict)

    @property
    def causes(self) -> Causes:
        """The decisions of both contracts and both schemes in which the lanes differ."""
        theirs = self._theirs
        return scheme_causes(self) | {
            Cause(PREFIX + name, getattr(self.contract, name), getattr(theirs, name)) for name in self.decisions
        }

    @property
    def lanes(self) -> Lanes:
        """B is a black box that declares what A does."""
        own = Operating(program=self.program, contract=self.contract, follows=self.contract, name="engine")
        other = Operating(
            program=self.program,
            contract=self.contract,
            follows=self._theirs,
            scheme=self.theirs,
            spoiled=self.spoiled,
            name="carried_out",
        )
        return own, other

    @property
    def _theirs(self) -> Contract:
        return self.contract.with_values(f"{self.contract.name}, but", **self.decisions)
