"""One row for each signature: how many pairs carry it, who excuses them, and the axis values they have in common."""

from dataclasses import dataclass

import numpy as np

from parity.signature import Signature
from parity.verdicts import NEW_DIVERGENCES, Verdict
from reports.explanation import Explanation, explain
from reports.load import VERDICTS, Sheet

# Pairs whose bits were compared, and found equal or equal enough.
EQUAL = (Verdict.IDENTICAL, Verdict.WITHIN, Verdict.FIXED)


@dataclass(frozen=True, slots=True, kw_only=True)
class SignatureRow:
    """text = the signature as in the records; example = the cell of its first pair; where is None where not sought."""

    text: str
    parts: Signature
    pairs: int
    new: int
    ledger: str
    example: str
    where: Explanation | None


def signature_rows(sheet: Sheet, *, explained: int) -> tuple[SignatureRow, ...]:
    """Every signature, those of new divergences first, then by number of pairs; the first `explained` get a where."""
    found = sheet.findings
    total = np.bincount(found.signature.codes, minlength=len(found.signature.words))
    is_new = np.isin(found.verdict, [VERDICTS.index(verdict) for verdict in NEW_DIVERGENCES])
    new = np.bincount(found.signature.codes[is_new], minlength=len(total))
    first = np.full(len(total), len(found), np.int64)
    np.minimum.at(first, found.signature.codes, np.arange(len(found)))
    codes = [code for code, text in enumerate(found.signature.words) if text]
    codes.sort(key=lambda code: (not new[code], -int(total[code]), found.signature.words[code]))
    return tuple(
        SignatureRow(
            text=found.signature.words[code],
            parts=Signature.parse(found.signature.words[code]),
            pairs=int(total[code]),
            new=int(new[code]),
            ledger=found.ledger.words[found.ledger.codes[first[code]]],
            example=sheet.cells[found.cell[first[code]]],
            where=_where(sheet, code) if place < explained else None,
        )
        for place, code in enumerate(codes)
    )


def _where(sheet: Sheet, code: int) -> Explanation:
    """What the cells of a signature have in common that the equal cells of its edge have not."""
    found = sheet.findings
    rows = np.flatnonzero(found.signature.codes == code)
    verdicts = sheet.verdicts[found.edge[rows[0]]]
    equal = np.flatnonzero(np.isin(verdicts, [VERDICTS.index(verdict) for verdict in EQUAL]))
    return explain(sheet.coordinates.axes, found.cell[rows].astype(np.int64), equal)
