"""aims = where a case's ties were laid: the scale and zero point each such group was to get, and each scheme's eps.

Ties follow the engine under test (docs/decisions/015), so a rule that moves a scale would move the case itself. A run
keeps its aims; a revision that is given those of another makes the same cases, and what moved shows at its own stage.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from parity.aim import Aim
from quant import QParams, TensorScheme, choose_qparams
from quant.scheme import ResolvedScheme

if TYPE_CHECKING:
    from parity.cells import Cell
    from parity.inputs import Inputs
    from quant import QuantScheme

Choose = Callable[[Tensor, TensorScheme], QParams]


class Laying:
    """choose_qparams for the ties of one operand of stacked cases: what an aim holds is taken, the rest is chosen.

    given = one aim a case, None for a case that carries none. What the ties were laid at can be read afterwards.
    """

    def __init__(self, given: Sequence[Aim | None] = ()) -> None:
        self._given = tuple(given)
        self._scale = self._zero_point = torch.empty(0, 0, dtype=torch.float64)

    def eps(self, schemes: Sequence[ResolvedScheme]) -> list[float]:
        """The eps that each scheme is aimed with: the carried one, or its own."""
        own = [float(scheme.eps) for scheme in schemes]
        carried = next((list(aim.eps) for aim in self._given if aim is not None), [])
        return carried if len(carried) == len(own) else own

    def start(self, cases: int, groups: int) -> None:
        """Make room. Aims of another number of groups are not of these cases, so they are left alone."""
        self._scale = torch.full((cases, groups), torch.nan, dtype=torch.float64)
        self._zero_point = torch.full((cases, groups), torch.nan, dtype=torch.float64)
        for i, aim in enumerate(self._given):
            if aim is not None and len(aim.scale) == groups:
                self._scale[i] = torch.tensor(aim.scale, dtype=torch.float64)
                self._zero_point[i] = torch.tensor(aim.zero_point, dtype=torch.float64)

    def at(self, case: Tensor, group: Tensor) -> Choose:
        """What chooses the qparams of these groups."""

        def choose(skeleton: Tensor, scheme: TensorScheme) -> QParams:
            scale, zero_point = self._scale[case, group], self._zero_point[case, group]
            if not bool(scale.isnan().any()):
                resolved = scheme.resolved(skeleton.dtype)
                return QParams(scale=scale.unsqueeze(1), zero_point=zero_point.unsqueeze(1), scheme=resolved)
            chosen = choose_qparams(skeleton, scheme)
            self._scale[case, group] = chosen.scale.double().squeeze(1)
            if chosen.zero_point is not None:
                self._zero_point[case, group] = chosen.zero_point.double().squeeze(1)
            return chosen

        return choose

    def aims(self, cells: Sequence[Cell], operand: str, eps: Sequence[float]) -> tuple[Aim, ...]:
        """One a case; () where no tie was laid and every eps is what it is without aims."""
        return tuple(
            Aim(cell=cell.id, operand=operand, eps=tuple(eps), scale=tuple(scale), zero_point=tuple(zero_point))
            for cell, scale, zero_point in zip(cells, self._scale.tolist(), self._zero_point.tolist(), strict=False)
        )


@dataclass(frozen=True, slots=True)
class CarriedInputs:
    """make_inputs with the aims of another run: cells that run has not are aimed as always."""

    run: Path

    def __call__(self, cells: Sequence[Cell], schemes: Sequence[QuantScheme]) -> Inputs:
        from parity.inputs import make_inputs

        return make_inputs(cells, schemes, _aims_of(self.run))


@cache
def _aims_of(run: Path) -> Mapping[tuple[str, str], Aim]:
    from parity.store import read_aims

    return {(aim.cell, aim.operand): aim for aim in read_aims(run)}
