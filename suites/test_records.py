"""Records look stages up by name; signatures, contracts and exit codes are the classes they say."""

import subprocess
import sys
from dataclasses import FrozenInstanceError, replace

import pytest

from parity.contract import contract
from parity.exit_codes import ExitCode, combine, exit_code
from parity.manifest import Manifest, reconciliation
from parity.record import ByStage, EdgeRecord
from parity.signature import Signature, raised_signature, signature_of, ulp_class, with_cause
from parity.verdicts import GREEN, INCOMPLETE, NEW_DIVERGENCES, Verdict
from suites.plain_records import EDGE, ENVIRONMENT, differing, lane, manifest, one_sided, pair, same, unlike


def test_stages_are_found_by_name_and_by_place() -> None:
    stages = ByStage((same("weight.scale"), differing("weight.codes", count=7)))
    assert stages["weight.codes"].n_different == 7
    assert stages[0].stage == "weight.scale"
    assert stages[1:] == (stages["weight.codes"],)
    assert stages.find("output") is None
    with pytest.raises(KeyError, match=r"no stage 'output' here; the stages are: weight.scale, weight.codes"):
        stages["output"]


def test_records_cannot_be_rewritten() -> None:
    with pytest.raises(FrozenInstanceError):
        lane().cell = "other"  # type: ignore[misc]  # the write that must fail


def test_identical_needs_equal_elements_shape_and_a_comparable_dtype() -> None:
    assert same("output").identical
    assert not differing("output").identical
    assert not unlike("output").identical
    assert not replace(same("output"), shape_b=(100,)).identical
    # An empty tensor has no differing element, yet float32 is not bfloat16.
    assert not replace(unlike("output"), n_total=0, n_different=0).identical
    # Codes kept in two dtypes were compared as integers.
    assert replace(same("weight.codes"), dtype_a="int8").identical
    assert one_sided("output").one_sided
    assert not unlike("output").one_sided


@pytest.mark.parametrize(
    ("ulp", "name"),
    [
        (0, "0"),
        (1, "1"),
        (2, "2-7"),
        (7, "2-7"),
        (8, "8-127"),
        (127, "8-127"),
        (128, "128-32767"),
        (32767, "128-32767"),
        (32768, ">=32768"),
        (2**64 - 1, ">=32768"),
    ],
)
def test_ulp_classes_meet_without_gap(ulp: int, name: str) -> None:
    assert ulp_class(replace(differing("output"), max_ulp=ulp)) == name


def test_what_no_ulp_measures_has_its_own_class() -> None:
    assert ulp_class(differing("output", ulp=1, incomparable=1)) == "nan"
    assert ulp_class(replace(differing("output", incomparable=1), max_ulp=None)) == "nan"
    assert ulp_class(unlike("output")) == "dtype"
    assert ulp_class(replace(unlike("output"), shape_b=(100,))) == "shape"
    assert ulp_class(replace(differing("weight.codes", ulp=3), dtype_a="int8")) == "2-7"


@pytest.mark.parametrize(
    ("different", "total", "name"),
    [
        (1, 1, "all"),
        (1, 2, "one"),
        (2, 201, "<1%"),
        (2, 200, "<10%"),
        (10, 100, "<50%"),
        (50, 100, "most"),
        (99, 100, "most"),
        (100, 100, "all"),
    ],
)
def test_count_classes(different: int, total: int, name: str) -> None:
    diff = replace(differing("output"), n_different=different, n_total=total)
    assert signature_of(EDGE, diff).count_class == name


def test_a_signature_reads_back_and_takes_a_cause() -> None:
    signature = signature_of(EDGE, differing("weight.scale", ulp=5))
    assert str(signature) == f"{EDGE}|weight.scale|-|2-7|one"
    assert Signature.parse(str(signature)) == signature
    assert str(raised_signature(EDGE)) == f"{EDGE}|raise|-|-|-"
    record = with_cause(replace(pair(), signature=str(signature)), "weight.eps")
    assert record.cause == "weight.eps"
    assert record.signature == f"{EDGE}|weight.scale|weight.eps|2-7|one"


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("a~b|output|-|1", "has 4 parts between bars; a signature has 5"),
        ("a~b|weight.code|-|1|one", "'weight.code' is not a stage"),
        ("a~b|output|-|3|one", "'3' is not an ulp class"),
        ("a~b|output|-|1|few", "'few' is not a count class"),
    ],
)
def test_a_broken_signature_is_refused(text: str, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        Signature.parse(text)


def test_a_contract_promises_by_stage() -> None:
    promises = contract("exact, output:ulp<=4")
    assert promises.at("output").kept_by(differing("output", ulp=4))
    assert not promises.at("output").kept_by(differing("output", ulp=5))
    assert not promises.at("output").kept_by(differing("output", ulp=1, incomparable=1))
    assert not promises.at("output").kept_by(unlike("output"))
    assert not promises.at("weight.scale").kept_by(differing("weight.scale", ulp=1))
    # The sign of a zero is no ulp, and exact still means equal bits.
    assert not promises.at("weight.scale").kept_by(differing("weight.scale", ulp=0))


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("tie", "cannot be checked at this stage"),
        ("sqnr>=30", "cannot be checked at this stage"),
        ("close", "'close' is not a promise"),
        ("ulp<=-1", "is not a promise"),
        ("exact, outputs:exact", "is not `stage:promise`"),
        ("exact, output:exact, output:ulp<=1", "promises one stage two things"),
    ],
)
def test_a_contract_that_cannot_be_checked_is_refused(text: str, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        contract(text)


def test_verdicts_fall_into_disjoint_colours() -> None:
    colours = [GREEN, NEW_DIVERGENCES, INCOMPLETE, {Verdict.FIXED}]
    assert sum(map(len, colours)) == len(Verdict)
    assert frozenset().union(*colours) == frozenset(Verdict)


def test_exit_codes_combine_2_over_3_over_1_over_4() -> None:
    ordered = [130, 2, 3, 1, 4, 0]
    assert [combine(ordered[i:]) for i in range(6)] == ordered
    assert combine([]) is ExitCode.PARITY
    with pytest.raises(ValueError, match="5 is not a valid ExitCode"):
        combine([5])


@pytest.mark.parametrize(
    ("verdicts", "lost", "stale", "code"),
    [
        ({Verdict.IDENTICAL: 3, Verdict.UNRUN: 9, Verdict.KNOWN: 1}, 0, 0, 0),
        ({Verdict.IDENTICAL: 3, Verdict.DIVERGED: 1, Verdict.FIXED: 1}, 0, 1, 1),
        ({Verdict.NONDETERMINISTIC: 1}, 0, 0, 1),
        ({Verdict.IDENTICAL: 3, Verdict.FIXED: 1}, 0, 0, 4),
        ({Verdict.IDENTICAL: 3}, 0, 1, 4),
        ({Verdict.DIVERGED: 1}, 1, 0, 3),
        ({Verdict.DIVERGED: 1, Verdict.TIMEOUT: 1}, 0, 0, 3),
        ({Verdict.CRASHED: 1}, 0, 0, 3),
        ({Verdict.IDENTICAL: 0}, 0, 0, 3),
    ],
)
def test_the_exit_code_of_a_run(verdicts: dict[Verdict, int], lost: int, stale: int, code: int) -> None:
    assert exit_code(verdicts, lost=lost, stale_rows=stale) == code


def test_a_manifest_reads_back() -> None:
    planned = replace(manifest(("default", "dtype:bf16")), cut=("Rank 3 was cut: the budget is 60 s.",))
    assert Manifest.from_json(planned.to_json()) == planned


@pytest.mark.parametrize(
    ("before", "after", "sentence"),
    [
        ('"schema": 1', '"schema": 2', "its schema is 2; this version reads schema 1 only"),
        ('"schema": 1', '"scheme": 1', "it names no schema"),
        ('"planned"', '"plan"', "it lacks the field 'planned'"),
        ('"incomplete"', '"splendid"', "'splendid' is not a valid RunStatus"),
    ],
)
def test_a_foreign_manifest_is_refused(before: str, after: str, sentence: str) -> None:
    text = manifest().to_json()
    assert before in text
    with pytest.raises(ValueError, match=sentence):
        Manifest.from_json(text.replace(before, after))


def test_planned_is_the_sum_of_verdicts() -> None:
    cells = ("default", "dtype:bf16", "dtype:fp16")
    records = [pair(cells[0]), pair(cells[1], Verdict.DIVERGED), pair(cells[2], Verdict.UNRUN)]
    whole = reconciliation(manifest(cells), records)
    assert whole.sentences == ()
    assert (whole.planned, whole.lost) == (3, 0)
    assert whole.verdicts == {
        **dict.fromkeys(Verdict, 0),
        Verdict.IDENTICAL: 1,
        Verdict.DIVERGED: 1,
        Verdict.UNRUN: 1,
    }


def test_a_lost_pair_cannot_hide_behind_one_judged_twice() -> None:
    cells = ("default", "dtype:bf16")
    count = reconciliation(manifest(cells), [pair("default"), pair("default")])
    assert count.lost == 1
    assert count.sentences == (
        f"{EDGE}: 2 pairs were planned and 1 have a verdict, 1 records are of no planned pair or of one judged twice.",
    )


@pytest.mark.parametrize("stray", [pair("dtype:bf16"), pair("default", edge="engine:ptq~torchao:ptq")])
def test_a_pair_nobody_planned_is_red(stray: EdgeRecord) -> None:
    count = reconciliation(manifest(), [pair(), stray])
    assert count.lost == 0
    assert len(count.sentences) == 1
    # Nor does it make up for one that is lost.
    assert reconciliation(manifest(), [stray]).lost == 1


def test_plain_records_import_no_tensors() -> None:
    """In a process where importing torch or pyarrow raises."""
    records = "verdicts record signature contract judge ledger settling evidence"
    runs = "exit_codes setting manifest whole_file run_diff"
    program = (
        "import sys\n"
        "for name in ('torch', 'pyarrow', 'pandas', 'numpy', 'quant', 'kernels'): sys.modules[name] = None\n"
        f"import {', '.join('parity.' + name for name in (*records.split(), *runs.split()))}\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_environment_facts_differ_by_sentence() -> None:
    from parity.setting import difference

    other = replace(ENVIRONMENT, setting={"threads": True, "gpu": None, "torch": "2.13.0"}, subject={})
    assert difference(ENVIRONMENT, ENVIRONMENT) == []
    assert difference(ENVIRONMENT, other) == [
        "gpu is not recorded in the first run and None in the second",
        "threads is 1 in the first run and True in the second",
    ]
