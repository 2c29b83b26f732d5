"""Every chunk of the premerge tier, judged as `parity run` judges it; and any legal cell has three identical flows."""

from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings

from parity.alone import each_alone
from parity.axes import AXES, PRESET
from parity.cells import Cell, parse_cell
from parity.edges import triangle
from parity.evaluate import Evaluated, evaluate
from parity.failure import pair_failure
from parity.ledger import read_ledger
from parity.matrix import Chunk, chunks, plan
from parity.recording import axis_values
from parity.run import EvaluateChunk
from parity.settling import Settling
from parity.verdicts import GREEN, Verdict
from suites.strategies import cells

WORK = EvaluateChunk(None)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """An item a chunk: a pure function of the plan, so that every xdist worker collects the same items."""
    if "chunk" in metafunc.fixturenames:
        chosen = [parse_cell(text) for text in metafunc.config.getoption("--cell")]
        found = chunks(chosen) if chosen else chunks(plan("premerge").cells)
        metafunc.parametrize("chunk", found, ids=[chunk.name for chunk in found])


def test_chunk(chunk: Chunk, pytestconfig: pytest.Config, tmp_path_factory: pytest.TempPathFactory) -> None:
    shared = tmp_path_factory.getbasetemp()
    running = (shared.parent if hasattr(pytestconfig, "workerinput") else shared) / f"chunk-{chunk.name}.running"
    found = _evaluated(chunk, running)
    settling = Settling(read_ledger(axes=AXES), values_of=axis_values, today=datetime.now(UTC).date())
    records = [settling.excuse(record) for record in found.edges]
    planned = {(cell.id, str(edge)) for cell in chunk.cells for edge in WORK.edges_of(cell)}
    assert {(record.cell, record.edge) for record in records} == planned
    red = [record for record in records if record.verdict not in GREEN]
    assert not red, "\n\n".join(map(pair_failure, red[:5])) + f"\n\n{len(red)} of {len(records)} pairs are red"


def _evaluated(chunk: Chunk, running: Path) -> Evaluated:
    """The chunk's records. A mark left by a worker that died in this chunk means: one process a cell this time."""
    if running.exists():
        return each_alone(WORK, chunk, WORK.edges_of, timeout=60.0)
    running.touch()
    found = WORK(chunk)[1]
    running.unlink()
    return found


# What each domain asks of the other axes, so that most draws are legal; the rest is drawn.
DOMAINS = {
    "int": {},
    "float": {"mapping": "asymmetric"},
    "none": {"mapping": "symmetric", "pz": "yes", "zp": "preset"},
}


@pytest.mark.parametrize("domain", [value for value in AXES["domain"].values if value != PRESET])
def test_three_flows_are_identical_on_any_legal_cell(domain: str) -> None:
    @settings(max_examples=60, suppress_health_check=list(HealthCheck))
    @given(cell=cells(domain=domain, **DOMAINS[domain]))
    def identical(cell: Cell) -> None:
        records = evaluate([cell], lambda _: triangle("engine")).edges
        assert [record.verdict for record in records] == [Verdict.IDENTICAL] * 3, cell.id

    identical()
