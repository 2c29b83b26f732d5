"""Ties laid where another run laid them: the same case under any rules, and a moved scale shows at its own stage."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch

from parity.aim_columns import aim_table, aims_of
from parity.cells import Cell, cell_at
from parity.inputs import Inputs, input_digests, make_inputs
from parity.schemes import scheme_of
from quant import QuantScheme

BASE = {"preset": "int8_dynamic_intx_weight", "dtype": "bf16"}
AIMED = [cell_at({**BASE, "family": family}) for family in ("directed", "ties", "eps_edge")]
PLAIN = cell_at({**BASE, "family": "random"})


def moved(scheme: QuantScheme) -> QuantScheme:
    """Another scale in every 16-bit group, and another eps."""
    rules = scheme.weight.rules.with_values(qparam_dtype="input", symmetric_scale="qmax")
    assert scheme.activation is not None
    activation = replace(scheme.activation, rules=rules, eps=1e-2)
    return replace(scheme, weight=replace(scheme.weight, rules=rules, eps=1e-2), activation=activation)


def same(a: Inputs, b: Inputs) -> list[bool]:
    return [one == other for one, other in zip(input_digests(a), input_digests(b), strict=True)]


@pytest.mark.parametrize("cells", [AIMED, [*AIMED, PLAIN]], ids=["aimed", "beside a cell without aims"])
def test_carried_aims_make_the_same_cases_whatever_is_chosen_now(cells: list[Cell]) -> None:
    scheme = scheme_of(cells[0])
    before = make_inputs(cells, [scheme])
    carried = {(aim.cell, aim.operand): aim for aim in aims_of(aim_table(before.aims))}
    assert {cell for cell, _ in carried} == {cell.id for cell in AIMED}
    assert same(before, make_inputs(cells, [moved(scheme)]))[:3] == [False] * 3, "without them the cases move"
    again = make_inputs(cells, [moved(scheme)], carried)
    assert all(same(before, again))
    alone = [make_inputs([cell], [moved(scheme)], carried) for cell in cells]
    assert [input_digests(each)[0] for each in alone] == input_digests(before), "stacked or alone"


def test_aims_of_another_shape_are_left_alone() -> None:
    scheme = scheme_of(AIMED[0])
    before = make_inputs(AIMED[:1], [scheme])
    short = {(aim.cell, aim.operand): replace(aim, scale=aim.scale[:3]) for aim in before.aims}
    assert same(before, make_inputs(AIMED[:1], [scheme], short)) == [True]


def test_an_aim_holds_a_number_for_each_tie_and_none_elsewhere() -> None:
    (weight,) = (aim for aim in make_inputs(AIMED[1:2], [scheme_of(AIMED[1])]).aims if aim.operand == "weight")
    assert all(math.isfinite(scale) and scale > 0 for scale in weight.scale), "every group of this family is ties"
    (edge,) = (aim for aim in make_inputs(AIMED[2:], [scheme_of(AIMED[2])]).aims if aim.operand == "weight")
    assert all(map(math.isnan, edge.scale))
    assert edge.eps == (torch.finfo(torch.bfloat16).smallest_normal,)
