"""Every field of a Burn scheme survives the way to a QuantScheme and back, whatever the others are."""

from __future__ import annotations

from dataclasses import replace
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quant import PerBlock, PerGroup, PerTensor, Propagation, QuantScheme
from quant.burn import Accumulator, BlockLevel, BurnScheme, TensorLevel, Value, from_quant_scheme, to_quant_scheme
from quant.burn.scheme import SCALE_DTYPES, Calibration
from quant.burn_rules import BURN_RULE_SETS

EXTENTS = st.integers(1, 255)
SHAPES = st.lists(EXTENTS, min_size=1, max_size=5).map(tuple).filter(lambda shape: len(shape) == 1 or shape[0] > 1)
LEVELS = st.just(TensorLevel()) | SHAPES.map(BlockLevel)
SCHEMES = st.builds(
    BurnScheme,
    level=LEVELS,
    value=st.sampled_from(Value),
    accumulator=st.sampled_from(Accumulator),
    propagation=st.sampled_from(Propagation),
    scale_dtype=st.none() | st.sampled_from(SCALE_DTYPES),
    calibration=st.sampled_from(Calibration),
)
BACKENDS = st.sampled_from([*BURN_RULE_SETS])


def sayable(burn: BurnScheme, backend: str) -> bool:
    """Whether a backend has the scheme: the merge one scale of extremes for q8s, its heirs no accumulator."""
    if backend != "burn_3042":
        return burn.accumulator is Accumulator.FULL
    whole = burn.calibration is Calibration.MIN_MAX
    return whole and (burn.level, burn.value, burn.scale_dtype) == (TensorLevel(), Value.Q8S, None)


@given(SCHEMES, BACKENDS)
def test_a_burn_scheme_comes_back_whole_where_its_backend_has_it(burn: BurnScheme, backend: str) -> None:
    if not sayable(burn, backend):
        with pytest.raises(ValueError, match=r"^(level|accumulator|scale_overflow|calibration) is "):
            to_quant_scheme(burn, backend)
        return
    scheme = to_quant_scheme(burn, backend)
    assert from_quant_scheme(scheme) == (burn, backend)
    weight = scheme.weight
    shared = {TensorLevel: (PerTensor,), BlockLevel: (PerGroup, PerBlock)}[type(burn.level)]
    assert isinstance(weight.granularity, shared)
    assert (weight.bits, (weight.qmin, weight.qmax)) == (burn.value.bits, burn.value.grid)
    assert weight.scale_dtype == ("model" if burn.scale_dtype is None else burn.scale_dtype)
    for propagation in Propagation:
        moved = replace(burn, propagation=propagation)
        assert to_quant_scheme(moved, backend) == replace(scheme, propagation=propagation)


def test_the_merge_s_whole_space_comes_back() -> None:
    """Two accumulators and two propagations: all that it can say, each another scheme."""
    made: set[QuantScheme] = set()
    for accumulator, propagation in product(Accumulator, Propagation):
        burn = BurnScheme(accumulator=accumulator, propagation=propagation)
        made.add(to_quant_scheme(burn))
        assert from_quant_scheme(to_quant_scheme(burn)) == (burn, "burn_3042")
    assert len(made) == 4
    assert {scheme.weight.scale_dtype for scheme in made} == {"model"}
