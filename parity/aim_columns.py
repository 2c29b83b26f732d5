"""aims_of(aim_table(aims)) = aims: a row each, their numbers nested."""

from collections.abc import Iterator, Sequence

import pyarrow as pa

from parity.aim import Aim

_NUMBERS = pa.list_(pa.float64())

AIMS = pa.schema(
    [("cell", pa.string()), ("operand", pa.string()), ("eps", _NUMBERS), ("scale", _NUMBERS), ("zero_point", _NUMBERS)]
)


def aim_table(aims: Sequence[Aim]) -> pa.Table:
    """A row for each aim, in the schema AIMS."""
    columns = {name: [getattr(aim, name) for aim in aims] for name in AIMS.names}
    return pa.table(columns, schema=AIMS)


def aims_of(table: pa.Table) -> Iterator[Aim]:
    """The aims of a table, in its order."""
    for row in table.to_pylist():
        numbers = {name: tuple(row[name]) for name in ("eps", "scale", "zero_point")}
        yield Aim(cell=row["cell"], operand=row["operand"], **numbers)
