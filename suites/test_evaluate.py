"""What evaluate does with lanes that cannot run, cells that must not, and lanes of two devices."""

from parity.cells import parse_cell
from parity.edges import edges_of, triangle
from parity.evaluate import evaluate
from parity.inputs import make_inputs
from parity.lane_run import run_lane
from parity.lanes import parse_lane
from parity.schemes import scheme_of
from parity.verdicts import Outcome, Verdict


def test_the_cpu_lane_of_a_cell_on_another_device_runs_on_the_cpu() -> None:
    cell = parse_cell("device:cuda")
    run = run_lane(parse_lane("engine:ptq"), cell, make_inputs([cell], [scheme_of(cell)]), "0" * 16)
    assert run.record.outcome is Outcome.RAN
    assert run.trace is not None
    assert {stage.tensor.device.type for stage in run.trace} == {"cpu"}


def test_a_device_that_is_missing_leaves_every_pair_unrun_with_its_reason() -> None:
    cell = parse_cell("device:xpu")
    found = evaluate([cell])
    assert len(found.edges) == len(edges_of(cell)) == 6
    assert {record.verdict for record in found.edges} == {Verdict.UNRUN}
    assert all("no xpu device" in record.message for record in found.edges)


def test_every_flow_refuses_an_illegal_cell_with_a_sentence() -> None:
    found = evaluate([parse_cell("domain:float")])
    assert {record.verdict for record in found.edges} == {Verdict.UNSUPPORTED}
    assert all("zero_point_domain is float and mapping is symmetric" in record.message for record in found.edges)


def test_cells_stacked_or_alone_have_the_same_records() -> None:
    cells = [parse_cell(f"dtype:bf16,family:{family}") for family in ("random", "specials", "ties")]
    together = evaluate(cells, lambda _: triangle("engine"))
    alone = [evaluate([cell], lambda _: triangle("engine")) for cell in cells]
    assert together.lanes == [lane for found in alone for lane in found.lanes]
    assert together.edges == [edge for found in alone for edge in found.edges]
