"""Records count the outputs that the certificate of an exact product leaves open."""

from parity.cells import cell_at, parse_cell
from parity.coverage import RESUMMED
from parity.evaluate import evaluate


def test_ties_of_the_output_are_counted_case_by_case() -> None:
    """Directed inputs meet output ties; the same cells stacked and alone are counted alike; an embedding has none."""
    cells = [cell_at({"case": str(case)}) for case in range(4)]
    together = {r.cell: dict(r.coverage) for r in evaluate(cells).lanes if r.lane == "engine:ptq"}
    alone = {cell.id: dict(evaluate([cell]).lanes[0].coverage) for cell in cells}
    assert together == alone
    assert any(counts[RESUMMED] > 0 for counts in together.values())
    embedding = dict(evaluate([parse_cell("op:embedding")]).lanes[0].coverage)
    assert RESUMMED not in embedding
