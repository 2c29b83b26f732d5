"""Operations of quantized tensors under two contracts: the decision in which they differ is named, or none is."""

from __future__ import annotations

from dataclasses import replace

import pytest

import parity
from parity.attribution import PAIRS
from parity.history.burn_operations import BURN_OPERATIONS
from parity.history.operating import Program
from parity.history.operation_case import OperationCase
from parity.operation_candidates import contract_flips
from parity.verdicts import Verdict
from quant.mapping import Extent
from quant.quantized_tensor import BURN_HEAD, BURN_HEAD_FLEX, BURN_HEAD_NDARRAY, CONTRACTS, ENGINE, Contract
from quant.rules import enumeration_of

OF = {case.name: case for case in BURN_OPERATIONS}
FLIP, TIMES = OF["burn-8.3-4-stale-block-scales"], OF["burn-8.3-6-whose-scheme"]


OTHERS = {
    "later_operations": replace(
        FLIP, program=Program(of=lambda w, x: w.cumsum(1)), scheme=TIMES.scheme, decisions={"later_operations": "float"}
    ),
    "mixed_rules": replace(
        FLIP, program=Program(of=lambda w, x: x @ w.mT), contract=ENGINE, decisions={"mixed_rules": "library"}
    ),
}


def test_every_decision_that_moves_a_bit_is_tried() -> None:
    """Behind a bug of the past, or here. A refusal has no bits."""
    tried = {name for case in BURN_OPERATIONS for name in case.decisions}
    assert {*Contract.decisions()} - tried - {*OTHERS} == {"mixed_elementwise"}
    for name, case in OTHERS.items():
        found = parity.explain(case.compared())
        assert (found.first_stage, found.causes) == ("output", tuple(case.causes)), name


def test_contracts_part_in_what_their_flips_say() -> None:
    for contract in CONTRACTS.values():
        for other in CONTRACTS.values():
            values = {name: value for flip in contract_flips(contract, other) for name, value in flip.changes}
            assert replace(contract, name=other.name, **values) == other
    assert [flip.field for flip in contract_flips(BURN_HEAD_NDARRAY, BURN_HEAD_FLEX)] == [
        "contract.layout_codes",
        "contract.moved_scales",
    ]


@pytest.mark.parametrize(
    ("stage", "decisions", "pairs"),
    [
        ("output.scale", {"moved_scales": "in_place"}, 100),
        *(
            pytest.param(stage, decisions, PAIRS, marks=pytest.mark.nightly)
            for stage in ("weight.codes", "output.scale", "output")
            for decisions in ({}, {"moved_scales": "in_place"})
        ),
    ],
)
def test_what_no_decision_is_behind_has_no_cause(
    stage: str, decisions: dict[str, str], pairs: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Negative controls: lane B spoils a stage, alone or beside a decision that it also takes otherwise."""
    monkeypatch.setattr("parity.attribution.PAIRS", pairs)  # of flips that are tried together
    spoiled = {stage: lambda tensor: tensor.roll(1, 0)}
    found = parity.explain(replace(FLIP, decisions=decisions, spoiled=spoiled).compared())
    assert (found.causes, found.undetermined) == ((), ())
    assert found.explained < 1
    assert "unexplained: no decision reproduces it" in found.sentence


def test_the_same_contract_has_nothing_to_explain() -> None:
    for case in BURN_OPERATIONS:
        record = replace(case, decisions={}).compared()
        assert record.verdict is Verdict.IDENTICAL, case.name


def test_a_symmetric_range_does_not_drift() -> None:
    """Quantized anew where its codes could be moved: the bits are the same; on the full range they are not."""
    case = OF["burn-8.3-1-drift"]
    symmetric = replace(case, scheme=replace(case.scheme, weight=replace(case.scheme.weight, qmin=-7)))
    assert symmetric.compared("random").verdict is Verdict.IDENTICAL
    assert case.compared("random").verdict is Verdict.DIVERGED


def test_decisions_of_a_contract_and_of_rules_are_told_together() -> None:
    """Two backends of 2026 on one flip: ndarray leaves scales behind, flex quantizes anew by a reciprocal."""
    case = replace(
        FLIP,
        contract=BURN_HEAD,
        decisions={"layout_codes": "requantized"},
        weight={"code_rounding": "half_even"},
        scheme=OF["burn-8.3-1-drift"].scheme,
    )
    found = parity.explain(case.compared())
    assert found.first_stage == "weight.codes"
    assert frozenset(found.causes) == case.causes
    assert found.explained == 1.0
    assert "code_rounding: half_away against half_even" in found.sentence
    assert "contract.layout_codes: moved against requantized" in found.sentence


def test_two_decisions_of_a_contract_are_told_together() -> None:
    case = replace(TIMES, decisions={"product_scheme": "left", "requantized_range": "declared"})
    mean = replace(case.scheme.weight, extent=Extent.ABS_MEAN)
    activation = replace(case.scheme.activation, extent=Extent.ABS_MEAN)  # type: ignore[type-var]  # it has one
    case = replace(case, scheme=replace(case.scheme, weight=mean, activation=activation))
    found = parity.explain(case.compared())
    assert found.first_stage == "output.scale"
    assert case.causes in [frozenset(causes) for causes in (found.causes, *found.undetermined)]


@pytest.mark.nightly
@pytest.mark.parametrize("case", BURN_OPERATIONS, ids=[*OF])
def test_the_other_way_round_the_values_change_places(case: OperationCase) -> None:
    """The black box stands first, so the search starts from the second lane."""
    found = parity.explain(case.compared(swapped=True))
    assert found.causes == tuple((field, b, a) for field, a, b in case.causes)
    assert (found.explained, found.first_stage) == (1.0, case.first_stage)


def test_a_decision_is_found_among_all_the_others() -> None:
    """No other value of any other decision gives the bits of a flip that leaves its scales behind."""
    record = FLIP.compared()
    for name in Contract.decisions():
        for member in enumeration_of(Contract, name):
            if member is not getattr(ENGINE, name) and name != "moved_scales":
                other = replace(FLIP, decisions={name: str(member)}).compared()
                assert other.stages["output"].n_different != record.stages["output"].n_different
