"""parity.fingerprint prints a rule only where a black box's answers force it; what it prints is right."""

from __future__ import annotations

import json
from dataclasses import replace
from enum import StrEnum
from typing import Any

import pytest
import torch
from typer.testing import CliRunner

import parity
from parity.backends.functions import backend_from_functions
from parity.black_box.acting import BASE, FIELDS, searched
from parity.black_box.agenda import ordinary_choices, special_choices
from parity.black_box.alike import classes
from parity.black_box.knowledge import Knowledge
from parity.black_box.question import Question, Step
from parity.cli.app import app
from quant import Rules
from quant.decisions import Float64Cast, MeanAccumulate, RescaleDtype
from quant.rule_sets import ENGINE, TORCHAO
from quant.rules import enumeration_of
from suites.drawn_rules import AWAY, Box, behind_a_pipe, drawn_rules
from suites.fingerprint_figures import FIGURES, SEEDS, Figures, found_share, read_figures, wrong
from suites.test_explain import noisy

# --- what is printed is right -------------------------------------------------------------------------------------


def test_rules_three_fields_away_behind_a_pipe() -> None:
    with behind_a_pipe(1) as box:
        found = parity.fingerprint(box, evidence=False)
    assert wrong(found, drawn_rules(1)) == {}
    assert len(found.values) >= 33
    assert not found.unexplained


def holds(figures: list[Figures]) -> None:
    """None wrong, none unexplained, and nine tenths found of what held-out inputs tell by a flip of one field alone."""
    assert [(each.seed, each.wrong) for each in figures if each.wrong] == []
    assert [(each.seed, each.unexplained) for each in figures if each.unexplained] == []
    assert found_share(figures) >= 0.9


@pytest.mark.nightly
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("first", range(0, SEEDS, 10))
def test_three_hundred_rules_behind_a_pipe(first: int) -> None:
    holds([Figures.of(seed) for seed in range(first, first + 10)])


def test_figures_of_three_hundred_rules_are_complete_and_hold() -> None:
    """Those that were measured last; a seed that is missing, or was measured twice, spoils them all."""
    environment, figures = read_figures(FIGURES)
    assert sorted(each.seed for each in figures) == list(range(SEEDS))
    assert all(each.away == AWAY[each.seed % len(AWAY)] for each in figures)
    assert environment.keys() == {"commit", "torch", "python", "processor", "workers"}
    holds(figures)
    assert found_share([replace(each, missed=("code_rounding",) * each.tellable) for each in figures]) == 0


@pytest.mark.nightly
def test_torchao_has_the_rules_of_its_named_set() -> None:
    found = parity.fingerprint("torchao")
    assert wrong(found, TORCHAO) == {}
    assert not found.unexplained
    equal_or_idle = {"mean_accumulate", "zero_scale", "zero_scale_at", "rescale_dtype", "float_rescale_dtype"}
    assert {each.field for each in found.findings if each.value is None} <= equal_or_idle
    assert [each.field for each in found.findings if each.value and not each.witnesses] in ([], ["rescale_fusion"])
    told = {each.field: each.classes for each in found.findings if each.value is None}
    assert told["rescale_dtype"] == told["float_rescale_dtype"] == (("promoted", "float64"),)


# --- what is not known is not printed -----------------------------------------------------------------------------


def asked_alone(box: Box, questions: list[Question]) -> Knowledge:
    knowledge = Knowledge()
    functions = backend_from_functions("box", choose_qparams=box.choose_qparams).functions
    for question in questions:
        answer = question.asked(functions)
        if answer is not None:
            knowledge.learn(knowledge.expected(question), answer)
    return knowledge


def test_before_any_answer_nothing_is_known() -> None:
    assert all(len(values) > 1 for values in Knowledge().values.values())


def test_one_question_tells_what_it_shows_and_no_more() -> None:
    """A symmetric scale in fp32 stored in bf16 tells how it is rounded, and nothing of a zero point that it lacks."""
    knowledge = asked_alone(Box(ENGINE), [ordinary_choices(BASE)[0]])
    assert knowledge.values["scale_rounding"] == (ENGINE.scale_rounding,)
    assert len(knowledge.values["zero_point_rule"]) == len(enumeration_of(Rules, "zero_point_rule"))
    assert {*knowledge.values["qparam_dtype"]} >= {ENGINE.qparam_dtype}
    assert len(knowledge.values["qparam_dtype"]) > 1  # an fp32 input is computed in fp32 either way


def test_combinations_are_kept_where_single_values_are_not_told_apart() -> None:
    """What is possible for one field depends on another: every relation holds the truth beside what it cannot tell."""
    knowledge = asked_alone(Box(ENGINE), list(ordinary_choices(BASE)[:1]))
    assert knowledge.relations
    for relation in knowledge.relations:
        assert any(all(value == getattr(ENGINE, name) for name, value in each) for each in relation)


@pytest.mark.nightly
@pytest.mark.timeout(1800)
def test_a_box_that_no_rules_describe_is_told_and_its_codes_are_unknown() -> None:
    box = Box(ENGINE)
    spoiled = backend_from_functions(
        "spoiled",
        choose_qparams=box.choose_qparams,
        quantize=lambda *arguments: noisy(box.quantize(*arguments)),
        dequantize=box.dequantize,
    )
    found = parity.fingerprint(spoiled, evidence=False)
    assert found.unexplained
    assert all("quantize of " in told for told in found.unexplained)
    assert not {"code_rounding", "code_division", "code_dtype", "zero_point_add"} & found.values.keys()
    assert found.values["scale_rounding"] == "nearest_even"
    assert wrong(found, ENGINE) == {}


def test_a_box_that_refuses_everything_tells_nothing() -> None:
    def refuses(*arguments: Any) -> Any:
        raise ValueError("no")

    silent = backend_from_functions("silent", choose_qparams=refuses, quantize=refuses, dequantize=refuses)
    found = parity.fingerprint(silent, evidence=False)
    assert (found.values, found.asked) == ({}, 0)


def test_values_that_no_question_can_part_are_one_class() -> None:
    """A mean that nothing was asked of, and two dtypes that both round to bf16; two that part are two."""
    dtypes = (torch.bfloat16, torch.float32)  # of x and of the stored scale
    symmetric = next(each for each in ordinary_choices(BASE) if (each.x.dtype, each.scheme.scale_dtype) == dtypes)
    other_known = {name: (value,) for name, value in _values(TORCHAO).items()}
    possible = other_known | {"mean_accumulate": tuple(MeanAccumulate)}
    assert classes("mean_accumulate", possible, [symmetric]) == (("native", "float32_sequential", "exact"),)
    read_back = replace(symmetric, step=Step.DEQUANTIZE)
    possible = other_known | {"rescale_dtype": (RescaleDtype.PROMOTED, RescaleDtype.OUTPUT, RescaleDtype.FLOAT64)}
    assert classes("rescale_dtype", possible, [read_back]) == (("promoted", "float64"), ("output",))
    possible["float64_cast"] = tuple(Float64Cast)
    assert classes("rescale_dtype", possible, [read_back]) == (("promoted",), ("output",), ("float64",))


def _values(rules: Rules) -> dict[str, StrEnum]:
    return {name: getattr(rules, name) for name in Knowledge().values}


# --- the questions ------------------------------------------------------------------------------------------------


def test_ordinary_questions_leave_special_decisions_idle() -> None:
    """Flipping what an ordinary question does not search moves no bit of its answer: every tenth question."""
    for question in ordinary_choices(BASE)[::10]:
        plain = question.made(BASE).digest
        for name in FIELDS[Step.CHOOSE] - {*searched(question)}:
            for member in enumeration_of(Rules, name):
                try:
                    flipped = question.made(BASE.with_values(**{name: member}))
                except ValueError:
                    continue
                assert flipped.digest == plain, (name, member)


@pytest.mark.parametrize("field", sorted(FIELDS[Step.CHOOSE] - {"mean_accumulate"}))
def test_every_decision_of_choose_qparams_is_searched_somewhere(field: str) -> None:
    questions = (*ordinary_choices(BASE), *special_choices(BASE))
    assert any(field in searched(question) for question in questions)


# --- the command --------------------------------------------------------------------------------------------------


def test_command_refuses_what_is_no_backend_or_cannot_run() -> None:
    for name, said in (
        ("nonesuch", "there is no backend 'nonesuch'"),
        ("engine:qat_prepare", "only PTQ on cpu can: engine:ptq"),
        ("engine.nonesuch", "there is no rule set 'nonesuch'"),
    ):
        done = CliRunner().invoke(app, ["fingerprint", name], prog_name="parity")
        assert (done.exit_code, done.stdout) == (2, "")
        assert said in done.stderr


@pytest.mark.nightly
def test_command_prints_values_with_a_witness() -> None:
    done = CliRunner().invoke(app, ["fingerprint", "engine.torchao", "--json"], prog_name="parity")
    assert done.exit_code == 0, done.stderr
    findings = {each["field"]: each for each in json.loads(done.stdout)["findings"]}
    assert findings["code_division"]["value"] == "reciprocal_multiply"
    [told] = findings["code_division"]["witnesses"]
    assert told["refuted"] == "divide"
    assert told["asked"].startswith("quantize(")
    assert told["answered"] != told["otherwise"]
