"""Two runs part where a digest moved, and are not compared where their settings do."""

import json
import platform
from dataclasses import replace
from getpass import getuser
from pathlib import Path

import pytest
import torch

from parity.environment import environment, flushes_subnormals
from parity.record import ByStage, LaneRecord
from parity.run_diff import SUMMARY_LINES, Moved, RunDiff, UnlikeSettingsError, run_diff
from parity.setting import Environment
from parity.verdicts import Outcome
from suites.plain_records import ENVIRONMENT, lane

CODES_MOVED = ("0123456789abcdef", "00000000000000fe")
BOTH_MOVED = ("1123456789abcdef", "00000000000000fe")


def compared(before: list[LaneRecord], after: list[LaneRecord]) -> RunDiff:
    return run_diff(before, after, environments=(ENVIRONMENT, ENVIRONMENT))


def test_equal_runs_have_not_moved() -> None:
    cells = [lane("default"), lane("dtype:bf16"), lane("default", "engine:qat_convert")]
    diff = compared(cells, cells[::-1])
    assert (diff.common, diff.moved, diff.new, diff.gone) == (3, (), (), ())
    assert diff.summary() == "0 of 3 common lane records moved; 0 new, 0 gone."


def with_scale(*, dtype: str = "bfloat16", computed: str = "float32", shape: tuple[int, ...] = (8, 1)) -> LaneRecord:
    scale, codes = lane().stages
    return replace(lane(), stages=ByStage((scale._replace(dtype=dtype, computed=computed, shape=shape), codes)))


@pytest.mark.parametrize(
    ("after", "stage", "stages"),
    [
        (lane(digests=CODES_MOVED), "weight.codes", ("weight.codes",)),
        (lane(digests=BOTH_MOVED), "weight.scale", ("weight.scale", "weight.codes")),
        (with_scale(dtype="float32"), "weight.scale", ("weight.scale",)),
        (with_scale(shape=(1, 8)), "weight.scale", ("weight.scale",)),
        (replace(lane(), stages=ByStage(lane().stages[:1])), "weight.codes", ("weight.codes",)),
        (replace(lane(), stages=ByStage(lane().stages[1:])), "weight.scale", ("weight.scale",)),
        (lane(outcome=Outcome.RAISED, message="ValueError: x"), "outcome", ()),
        (replace(lane(digests=BOTH_MOVED), input_digest="0" * 16), "input", ()),
    ],
)
def test_the_first_moved_stage_is_named_and_then_all(after: LaneRecord, stage: str, stages: tuple[str, ...]) -> None:
    assert compared([lane()], [after]).moved == (Moved(cell="default", lane="engine:ptq", stage=stage, stages=stages),)


def test_what_moves_no_bit_has_not_moved() -> None:
    after = replace(with_scale(computed="float64"), coverage=(), message="slower")
    assert compared([lane()], [after]).moved == ()


def test_cells_of_one_run_alone_are_new_or_gone() -> None:
    diff = compared([lane("a:1"), lane("b:1")], [lane("b:1"), lane("c:1")])
    assert (diff.common, diff.gone, diff.new) == (1, (("a:1", "engine:ptq"),), (("c:1", "engine:ptq"),))


def test_an_unrun_lane_was_not_there() -> None:
    diff = compared([lane(outcome=Outcome.UNRUN)], [lane()])
    assert (diff.common, diff.new) == (0, (("default", "engine:ptq"),))
    assert diff.summary().startswith("Nothing was compared")
    assert compared([lane(outcome=Outcome.UNRUN)], [lane(outcome=Outcome.UNRUN)]).new == ()


def test_unlike_settings_are_refused_by_name_unless_told_otherwise() -> None:
    two = replace(ENVIRONMENT, setting={**ENVIRONMENT.setting, "threads": 2}, subject={"engine_commit": "4d5e6f"})
    with pytest.raises(UnlikeSettingsError, match="threads is 1 in the first run and 2 in the second"):
        run_diff([lane()], [lane()], environments=(ENVIRONMENT, two))
    diff = run_diff([lane()], [lane()], environments=(ENVIRONMENT, two), unlike_settings=True)
    assert diff.common == 1
    assert diff.summary().splitlines()[1:] == [
        "setting: threads is 1 in the first run and 2 in the second",
        "subject: engine_commit is '1a2b3c' in the first run and '4d5e6f' in the second",
    ]


def test_the_summary_stays_within_its_lines_and_json_holds_everything() -> None:
    names = [f"engine:ptq:cpu:m{i}" for i in range(30)]
    before = [lane(f"case:{i}", name) for i in range(9) for name in names]
    after = [replace(record, input_digest="0" * 16) for record in before]
    facts = {f"fact{i}": i for i in range(50)}
    environments = (ENVIRONMENT, Environment(setting=ENVIRONMENT.setting, subject=facts))
    diff = run_diff(before, after, environments=environments)
    lines = diff.summary().splitlines()
    assert len(lines) == SUMMARY_LINES
    assert lines[0] == "270 of 270 common lane records moved; 0 new, 0 gone."
    assert lines[-1] == "and 246 more"
    told = json.loads(json.dumps(diff.to_json()))
    assert told["common"] == len(told["moved"]) == 270
    assert told["moved"][0] == {"cell": "case:0", "lane": "engine:ptq:cpu:m0", "stage": "input", "stages": []}


# --- the environment ----------------------------------------------------------------------------------------------


def test_the_environment_is_measured() -> None:
    here = environment()
    assert here.setting["torch"] == torch.__version__
    assert here.setting["threads"] == torch.get_num_threads()
    assert environment() == here
    assert json.loads(json.dumps(dict(here.setting))) == dict(here.setting)


def test_the_environment_names_no_machine_no_person_and_no_path() -> None:
    here = environment()
    for name, fact in (*here.setting.items(), *here.subject.items()):
        text = str(fact)
        assert not text.startswith("/"), name
        assert not {platform.node(), getuser(), str(Path.home()), str(Path.cwd())} & {text, *text.split()}, name


def test_flushing_is_seen_where_it_is_on() -> None:
    assert not flushes_subnormals()
    if not torch.set_flush_denormal(True):
        pytest.skip("this processor cannot flush subnormals")
    try:
        assert flushes_subnormals()
    finally:
        torch.set_flush_denormal(False)
    assert not flushes_subnormals()
