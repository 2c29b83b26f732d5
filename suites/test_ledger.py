"""The ledger excuses what it describes and nothing else, and says so when it describes nothing any more."""

from collections.abc import Mapping
from datetime import date
from pathlib import Path

import pytest

from parity.ledger import LEDGER_FILE, LedgerError, Row, parse_ledger, read_ledger
from parity.record import ByStage, EdgeRecord, StageDiff
from parity.settling import Settling
from parity.signature import raised_signature, signature_of
from parity.verdicts import Verdict
from suites.plain_records import EDGE, differing, pair

TODAY = date(2026, 6, 1)

ROW = f"""
[[row]]
id = "float-codes"
edge = "{EDGE}"
first_stage = "weight.codes"
cause = ""
where = {{ dtype = ["bf16", "fp16"] }}
ulp_class = ["1", "2-7"]
count_class = "any"
reason = "prepare keeps float codes"
owner = "flows"
link = "https://example.org/1"
date = 2026-01-31
expires = 2026-07-31
"""


def values_of(cell: str) -> Mapping[str, str]:
    """Two axes, as parity.cells would fill them in."""
    named = dict(part.split(":") for part in cell.split(",")) if cell != "default" else {}
    return {"dtype": "fp32", "bits": "4", **named}


def settling(*texts: str, today: date = TODAY) -> Settling:
    return Settling(parse_ledger("".join(texts)), values_of=values_of, today=today)


def diverged(cell: str = "dtype:bf16", diff: StageDiff | None = None, cause: str = "") -> EdgeRecord:
    diff = diff or differing("weight.codes")
    return EdgeRecord(
        cell=cell,
        edge=EDGE,
        verdict=Verdict.DIVERGED,
        contract="exact",
        first_stage=diff.stage,
        stages=ByStage((diff,)),
        signature=str(signature_of(EDGE, diff, cause)),
        cause=cause,
    )


def test_a_described_divergence_is_known() -> None:
    record = settling(ROW).excuse(diverged())
    assert (record.verdict, record.ledger) == (Verdict.KNOWN, "float-codes")
    assert record.stages == diverged().stages


@pytest.mark.parametrize(
    "record",
    [
        diverged("default"),
        diverged(diff=differing("weight.scale")),
        diverged(diff=differing("weight.codes", ulp=8)),
    ],
    ids=["another cell", "another stage", "a larger ulp class"],
)
def test_what_no_row_describes_stays_diverged(record: EdgeRecord) -> None:
    assert settling(ROW).excuse(record) is record


def test_another_edge_is_another_divergence() -> None:
    other = ROW.replace(EDGE, "torch:ptq~engine:ptq")
    assert settling(other).excuse(diverged()).verdict is Verdict.DIVERGED
    (row,) = parse_ledger(other)
    assert not row.describes(signature_of(EDGE, differing("weight.codes")))


def test_a_row_with_a_cause_excuses_that_cause_alone() -> None:
    ledger = settling(ROW.replace('cause = ""', 'cause = "weight.eps"'))
    assert ledger.excuse(diverged(cause="weight.eps")).verdict is Verdict.KNOWN
    assert ledger.excuse(diverged(cause="weight.division")).verdict is Verdict.DIVERGED
    assert ledger.excuse(diverged()).verdict is Verdict.DIVERGED
    assert settling(ROW).excuse(diverged(cause="weight.division")).verdict is Verdict.KNOWN


def test_a_count_class_is_a_condition() -> None:
    ledger = settling(ROW.replace('count_class = "any"', 'count_class = "one"'))
    assert ledger.excuse(diverged()).verdict is Verdict.KNOWN
    assert ledger.excuse(diverged(diff=differing("weight.codes", count=60))).verdict is Verdict.DIVERGED


@pytest.mark.parametrize("where", ["{}", "{ dtype = [] }"])
def test_an_empty_where_covers_every_cell(where: str) -> None:
    assert settling(ROW.replace('{ dtype = ["bf16", "fp16"] }', where)).excuse(diverged("default")).ledger


def test_other_verdicts_are_no_business_of_the_ledger() -> None:
    ledger = settling(ROW)
    for verdict in set(Verdict) - {Verdict.DIVERGED}:
        assert ledger.excuse(pair("dtype:bf16", verdict)).verdict is verdict


def test_a_row_whose_pairs_ran_without_diverging_is_stale_and_they_are_fixed() -> None:
    ledger = settling(ROW)
    records = [pair("dtype:bf16"), pair("dtype:fp16", Verdict.UNRUN), pair("default"), diverged("default")]
    settled = [ledger.excuse(record) for record in records]
    assert [row.id for row in ledger.stale] == ["float-codes"]
    assert [ledger.fixed(record).verdict for record in settled] == [
        Verdict.FIXED,
        Verdict.UNRUN,
        Verdict.IDENTICAL,
        Verdict.DIVERGED,
    ]
    assert ledger.fixed(settled[0]).ledger == "float-codes"
    assert ledger.sentences == ("Ledger row 'float-codes' is stale: its pairs ran and none diverged so. Remove it.",)


def test_a_row_is_in_use_while_one_of_its_pairs_diverges() -> None:
    ledger = settling(ROW)
    records = [ledger.excuse(record) for record in (pair("dtype:bf16"), diverged("dtype:fp16"))]
    assert ledger.stale == ()
    assert ledger.sentences == ()
    assert [ledger.fixed(record) for record in records] == records


def test_a_row_whose_pairs_diverge_otherwise_is_stale_and_they_stay_red() -> None:
    ledger = settling(ROW)
    moved = ledger.excuse(diverged(diff=differing("weight.scale")))
    assert [row.id for row in ledger.stale] == ["float-codes"]
    assert ledger.fixed(moved).verdict is Verdict.DIVERGED


@pytest.mark.parametrize("verdict", [Verdict.UNRUN, Verdict.CRASHED, Verdict.TIMEOUT, Verdict.UNSUPPORTED])
def test_a_row_whose_pairs_were_not_compared_is_untouched(verdict: Verdict) -> None:
    ledger = settling(ROW)
    ledger.excuse(pair("default"))
    record = ledger.excuse(pair("dtype:bf16", verdict))
    assert ledger.stale == ()
    assert ledger.fixed(record) is record


def test_a_row_about_raising_is_stale_once_the_lanes_raise_as_they_must() -> None:
    text = ROW.replace('"weight.codes"', '"raise"').replace('["1", "2-7"]', '"any"')
    returned = EdgeRecord(
        cell="dtype:bf16",
        edge=EDGE,
        verdict=Verdict.DIVERGED,
        contract="exact",
        first_stage="raise",
        signature=str(raised_signature(EDGE)),
    )
    assert settling(text).excuse(returned).verdict is Verdict.KNOWN
    ledger = settling(text)
    raised = ledger.excuse(pair("dtype:bf16", Verdict.UNSUPPORTED))
    assert ledger.fixed(raised).verdict is Verdict.FIXED


def test_an_expired_row_excuses_nothing_and_says_so() -> None:
    assert settling(ROW, today=date(2026, 7, 31)).excuse(diverged()).verdict is Verdict.KNOWN
    ledger = settling(ROW, today=date(2026, 8, 1))
    record = ledger.excuse(diverged())
    sentence = (
        "Ledger row 'float-codes' expired on 2026-07-31, so it excuses nothing: mend the cause, or renew the row."
    )
    assert (record.verdict, record.ledger, record.message) == (Verdict.DIVERGED, "", sentence)
    assert ledger.stale == ()
    assert ledger.sentences == (sentence,)


def test_an_expired_row_does_not_hide_one_in_force() -> None:
    late = ROW.replace("float-codes", "late").replace("2026-07-31", "2026-02-01")
    assert settling(late, ROW).excuse(diverged()).ledger == "float-codes"


def test_shards_count_together() -> None:
    first, second = settling(ROW), settling(ROW)
    first.excuse(pair("dtype:bf16"))
    second.excuse(diverged("dtype:fp16"))
    assert first.stale
    first.merge(second)
    assert first.stale == ()
    empty = settling(ROW)
    third = settling(ROW)
    third.excuse(pair("dtype:bf16"))
    empty.merge(third)
    assert [row.id for row in empty.stale] == ["float-codes"]


@pytest.mark.parametrize(
    ("before", "after", "sentence"),
    [
        ("reason", "reasons", "row 'float-codes': the key 'reasons' is unknown; a row's keys are id, edge,"),
        ('owner = "flows"\n', "", "row 'float-codes': the key 'owner' is missing."),
        ('"prepare keeps float codes"', '" "', "reason is empty; a known divergence needs one."),
        ('"flows"', "7", "owner is 7; it must be text."),
        ("2026-07-31", '"2026-07-31"', "expires is '2026-07-31'; it must be a date such as 2026-01-31."),
        ("2026-07-31", "2026-07-31T00:00:00", "it must be a date such as 2026-01-31."),
        ("2026-07-31", "2025-07-31", "it expires on 2025-07-31, before its date 2026-01-31."),
        ('"float-codes"', '"Float codes"', "its id may hold a-z, 0-9 and - only."),
        (f'"{EDGE}"', '"engine:ptq"', "edge is 'engine:ptq'; an edge is laneA~laneB."),
        ('"weight.codes"', '"weight.code"', "first_stage is 'weight.code'; it must be 'raise' or one of input.scale,"),
        ('"weight.codes"', '"raise"', r"but lanes that part by raising have none; write 'any'."),
        ('["1", "2-7"]', '["1", "3"]', "ulp_class is '3'; it must be 'any' or of 0, 1, 2-7,"),
        ('["1", "2-7"]', "[]", "ulp_class is []; it must be one class, a list of classes, or 'any'."),
        ('count_class = "any"', 'count_class = ["any", "one"]', "count_class is 'any'; it must be 'any' or of one,"),
        ('["bf16", "fp16"]', '"bf16"', "it must be a table such as {dtype = ['bf16']}, {} for all cells."),
        ("dtype =", "dtpye =", "where names 'dtpye'; the axes are dtype, bits."),
        ("[[row]]", "[row]", "`row` in the ledger is no array of tables; begin each row with [[row]]."),
        ("[[row]]", "[[rows]]", "the ledger holds 'rows'; it may hold [[row]] tables only."),
        ("[[row]]", "[[row]", "the ledger is not TOML:"),
    ],
)
def test_a_row_that_lacks_a_part_is_refused(before: str, after: str, sentence: str) -> None:
    assert before in ROW
    with pytest.raises(LedgerError) as refused:
        parse_ledger(ROW.replace(before, after), axes=("dtype", "bits"))
    assert sentence in str(refused.value)


def test_every_fault_is_told_at_once() -> None:
    with pytest.raises(LedgerError) as refused:
        parse_ledger(ROW + ROW.replace('owner = "flows"', 'owner = ""').replace('"weight.codes"', '"x"'))
    assert str(refused.value).splitlines() == [
        "row 'float-codes': owner is empty; a known divergence needs one.",
        "row 'float-codes': 2 rows have this id.",
    ]


def test_a_misspelt_axis_is_found_at_the_first_cell() -> None:
    with pytest.raises(LedgerError, match="where names 'dtpye'; the axes are dtype, bits"):
        settling(ROW.replace("dtype =", "dtpye =")).excuse(pair())


def test_the_committed_ledger_is_valid() -> None:
    rows = read_ledger()
    assert all(isinstance(row, Row) for row in rows)
    assert len({row.id for row in rows}) == len(rows)


def test_the_row_that_the_ledger_explains_is_valid() -> None:
    """Uncomment the example at its head: an explanation that does not parse explains nothing."""
    lines = LEDGER_FILE.read_text(encoding="utf-8").splitlines()
    start = lines.index("# [[row]]")
    example = [line.removeprefix("# ") for line in lines[start : start + 13]]
    (row,) = parse_ledger("\n".join(example), axes=("dtype", "bits"))
    assert row.id == "torchao-prepare-float-codes"


def test_a_missing_ledger_is_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(LedgerError, match=r"none\.toml cannot be read: No such file"):
        read_ledger(tmp_path / "none.toml")
