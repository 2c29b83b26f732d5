"""Lemmas of proofs: asking the oracle less counts what asking about everything counts, for lanes under other rules."""

from __future__ import annotations

from typing import Any

import pytest

from parity.proving.block import Block
from parity.proving.claim import Claim, Step
from parity.proving.every import EveryCounter
from parity.proving.lane import Results, lane_of
from parity.proving.oracle_counter import oracle_counter
from parity.proving.party import Party, other_party, party_of
from parity.proving.space import space_of
from quant import Mapping, ZeroPointDomain

ENGINE = party_of(["engine"], "engine")
FLOAT, NONE = ZeroPointDomain.FLOAT, ZeroPointDomain.NONE
ASYMMETRIC, SYMMETRIC_NO_CLIPPING = Mapping.ASYMMETRIC, Mapping.SYMMETRIC_NO_CLIPPING


def against_oracle(step: Step, party: Party = ENGINE, **values: Any) -> Claim:
    return Claim(step=step, a=party, b=other_party("oracle", party), **values)


# Rules whose codes or values differ from the engine's, so that a lane under them breaks the engine's declaration.
WRONG = (
    (Step.QUANTIZE, {}, ("code_division=reciprocal_multiply",)),
    (Step.QUANTIZE, {}, ("code_rounding=half_away",)),
    (Step.QUANTIZE, {"zero_points": (1,)}, ("zero_point_add=before_round",)),
    (Step.QUANTIZE, {"domain": FLOAT, "zero_points": (3,)}, ("float_code_division=reciprocal_multiply",)),
    (Step.FAKE_QUANTIZE, {"domain": NONE}, ("code_cast=none",)),
    (Step.FAKE_QUANTIZE, {"domain": FLOAT, "zero_points": (3,)}, ("float_rescale_dtype=output",)),
    (Step.DEQUANTIZE, {"scale": "fp16", "zero_points": (-8, 0, 7)}, ("rescale_dtype=output",)),
    (Step.CHOOSE_QPARAMS, {}, ("symmetric_scale=qmax",)),
    (Step.CHOOSE_QPARAMS, {"scale": "fp16"}, ("scale_rounding=up",)),
    (Step.CHOOSE_QPARAMS, {"mapping": SYMMETRIC_NO_CLIPPING}, ("scale_rounding=up",)),
    (Step.CHOOSE_QPARAMS, {"mapping": ASYMMETRIC, "dtype": "fp16"}, ("scale_rounding=up",)),
    (Step.CHOOSE_QPARAMS, {"mapping": ASYMMETRIC}, ("zero_point_rule=from_max",)),
    (Step.CHOOSE_QPARAMS, {"mapping": ASYMMETRIC, "bits": 8}, ("zero_point_scale=unrounded",)),
    (Step.CHOOSE_QPARAMS, {"mapping": ASYMMETRIC, "scale": "fp16"}, ("zero_point_rounding=truncate",)),
    (Step.CHOOSE_QPARAMS, {"domain": FLOAT}, ("qparam_dtype=input",)),
)


@pytest.mark.parametrize(("step", "values", "flips"), WRONG, ids=lambda value: str(value)[:60])
def test_asking_less_counts_what_asking_about_everything_counts(
    step: Step, values: dict[str, Any], flips: tuple[str, ...]
) -> None:
    """A lane under other rules is held against the engine's declaration by the lemma, and by every operand."""
    claim = against_oracle(step, **values)
    lane = lane_of(claim, party_of(flips, "engine"))
    by_lemma = oracle_counter(claim, lane=lane)
    assert not isinstance(by_lemma, EveryCounter)
    every = EveryCounter.of(claim, lane=lane)
    found = 0
    slices = space_of(claim).slices
    for start in (0, slices * 41 // 80, slices * 17 // 18):
        part = range(start, start + 2)
        assert by_lemma.count(part) == every.count(part)
        found += every.count(part).n_different
    assert found > 0


def test_one_wrong_code_in_the_middle_of_a_run_is_seen() -> None:
    claim = against_oracle(Step.QUANTIZE)
    honest = lane_of(claim, ENGINE)

    def broken(block: Block) -> Results:
        (codes,) = honest(block)
        if block.first <= 16_001 < block.first + block.slices:
            codes = codes.clone()
            codes[16_001 - block.first, 60_000] ^= 1
        return (codes,)

    counter = oracle_counter(claim, lane=broken)
    assert counter.count(range(16_000, 16_004)).differing == ((16_001, 1),)


def test_one_wrong_zero_point_in_the_middle_of_a_run_is_seen() -> None:
    claim = against_oracle(Step.CHOOSE_QPARAMS, mapping=ASYMMETRIC)
    honest = lane_of(claim, ENGINE)

    def broken(block: Block) -> Results:
        scale, zero_point = honest(block)
        if block.first <= 5_000 < block.first + block.slices:
            zero_point = zero_point.clone()
            zero_point[0, (5_000 - block.first) * (block.pairs // block.slices) + 40_000] += 1
        return scale, zero_point

    assert oracle_counter(claim, lane=broken).count(range(4_999, 5_002)).differing == ((5_000, 2),)


def test_a_run_ends_where_its_line_does() -> None:
    """A lane that keeps a result to the end of a line, where the next line begins with the same one."""
    claim = against_oracle(Step.CHOOSE_QPARAMS, mapping=ASYMMETRIC)
    honest, last = lane_of(claim, ENGINE), space_of(claim).slices - 1
    changed = 0

    def broken(block: Block) -> Results:
        nonlocal changed
        scale, zero_point = (stage.clone() for stage in honest(block))
        low = block.values[0].double()
        second = int((low != low[0]).nonzero()[0])
        if bool((low[:second] == low[0]).all()) and second > 1:  # lines of one minimum, not of one maximum
            same = (scale[0, :second] == scale[0, second]) & (zero_point[0, :second] == zero_point[0, second])
            kept = slice(int(same.nonzero()[0]), second)
            changed += int((~same[kept]).sum())
            scale[0, kept], zero_point[0, kept] = scale[0, second], zero_point[0, second]
        return scale, zero_point

    tally = oracle_counter(claim, lane=broken).count(range(last, last + 1))
    assert tally.n_different * 2 == changed > 0  # the lane runs once more where it is refuted


@pytest.mark.parametrize(
    "flip",
    [
        "zero_point_rule=min_error",  # may turn from one end of the range to the other
        "zero_scale=one",  # puts the greatest scale of all in place of the least
        "zero_point_scale=unrounded",  # moves while the stored scale stays
    ],
)
def test_where_ranges_are_no_lines_the_oracle_is_asked_about_every_pair(flip: str) -> None:
    party = party_of([flip], "engine")
    assert isinstance(oracle_counter(against_oracle(Step.CHOOSE_QPARAMS, party, mapping=ASYMMETRIC)), EveryCounter)
