"""Burn's schemes as the engine's and back: BurnScheme + backend <-> QuantScheme, losing nothing or raising."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import Final

from quant.burn.scheme import Accumulator, BlockLevel, BurnScheme, Calibration, Level, TensorLevel
from quant.burn.values import value_of
from quant.burn_rules import BURN_3042_FULL, BURN_3042_HALF, BURN_RULE_SETS
from quant.granularity import Granularity, PerBlock, PerGroup, PerTensor
from quant.mapping import Extent, Mapping, ZeroPointDomain
from quant.product_rules import ProductRules
from quant.rules import Rules
from quant.scheme import MODEL, QuantScheme, TensorScheme
from quant.statistic import Own

MERGE: Final = "burn_3042"
_PRODUCTS: Final = {Accumulator.FULL: BURN_3042_FULL, Accumulator.HALF: BURN_3042_HALF}
_EXTENTS: Final = {Calibration.MIN_MAX: Extent.MIN_MAX, Calibration.ABS_MEAN: Extent.MEAN}


def to_quant_scheme(scheme: BurnScheme, backend: str = MERGE) -> QuantScheme:
    """What a rule set of Burn's makes of the scheme in a layer x @ w.T.

    At the merge a float input is quantized by the weight's scheme, and int8 tensors with one scale are multiplied as
    codes; later the weight is dequantized. Raises ValueError for a set that is not Burn's, a level or scale dtype that
    the merge did not have, and an accumulator that no product reads.
    """
    if backend not in BURN_RULE_SETS:
        raise ValueError(f"there is no backend {backend!r} of Burn; its rule sets are {', '.join(BURN_RULE_SETS)}")
    rules = BURN_RULE_SETS[backend]
    tensor = tensor_scheme(scheme, rules)
    if backend == MERGE:
        _check_merge(scheme)
        product = _PRODUCTS[scheme.accumulator]
        return QuantScheme(weight=tensor, activation=tensor, product=product, propagation=scheme.propagation)
    if scheme.accumulator is Accumulator.HALF:
        raise ValueError(f"accumulator is half and backend is {backend}: only {MERGE} multiplies codes; use full")
    return QuantScheme(weight=tensor, product=ProductRules(), propagation=scheme.propagation)


def tensor_scheme(scheme: BurnScheme, rules: Rules) -> TensorScheme:
    """One tensor's part of it under these rules: symmetric, and without a zero point."""
    qmin, qmax = scheme.value.grid
    return TensorScheme(
        bits=scheme.value.bits,
        qmin=qmin,
        qmax=qmax,
        granularity=_granularity(scheme.level),
        extent=_EXTENTS[scheme.calibration],
        zero_point_domain=ZeroPointDomain.NONE,
        zero_point_dtype=None,
        scale_dtype=MODEL if scheme.scale_dtype is None else scheme.scale_dtype,
        global_scale_dtype=scheme.global_dtype,
        eps=rules.default_eps,
        rules=rules,
    )


def from_quant_scheme(scheme: QuantScheme) -> tuple[BurnScheme, str]:
    """(the scheme in Burn's fields, the rule set that carries it out), so that to_quant_scheme gives it back: but for
    rectangles whose leading extents are 1, which are written without them.

    Raises ValueError with the first thing that Burn cannot express.
    """
    weight = scheme.weight
    _check_expressible(weight)
    level = _level(weight.granularity)
    scheme = replace(scheme, weight=replace(weight, granularity=_granularity(level)))
    accumulator = Accumulator.HALF if scheme.product == BURN_3042_HALF else Accumulator.FULL
    burn = BurnScheme(
        level=level,
        value=value_of(weight.bits, weight.qmin, weight.qmax),
        accumulator=accumulator,
        propagation=scheme.propagation,
        scale_dtype=None if isinstance(weight.scale_dtype, str) else weight.scale_dtype,
        global_dtype=weight.global_scale_dtype,
        calibration=_calibration(weight.extent),
    )
    backend = _backend(weight.rules)
    again = to_quant_scheme(burn, backend)
    for name in (field.name for field in fields(QuantScheme)):
        there, here = getattr(again, name), getattr(scheme, name)
        if there != here:
            raise ValueError(f"{name} is {here}; under {backend} Burn has {there}")
    return burn, backend


def _granularity(level: Level) -> Granularity:
    if isinstance(level, TensorLevel):
        return PerTensor()
    return PerGroup(level.shape[0]) if len(level.shape) == 1 else PerBlock(level.shape)


def _level(granularity: Granularity) -> Level:
    if isinstance(granularity, PerTensor):
        return TensorLevel()
    if isinstance(granularity, PerGroup):
        return BlockLevel((granularity.size,))
    if isinstance(granularity, PerBlock):
        return BlockLevel.of(*granularity.shape)
    raise ValueError(
        f"granularity is {granularity}; Burn has no extent that means a whole dimension: use PerTensor, or PerGroup or "
        "PerBlock with the extents themselves"
    )


def _calibration(extent: Extent) -> Calibration:
    """The calibration with this range. Raises ValueError where Burn has none."""
    for calibration, known in _EXTENTS.items():
        if known is extent:
            return calibration
    raise ValueError(f"extent is {extent}; Burn's calibrations are {', '.join(_EXTENTS.values())}")


def _check_merge(scheme: BurnScheme) -> None:
    """What the merge did not have: blocks had gone and came back, values of fewer bits and dtypes of scales came."""
    if not isinstance(scheme.level, TensorLevel) or scheme.value.grid != (-127, 127) or scheme.scale_dtype is not None:
        raise ValueError(
            f"level is {scheme.level}, value is {scheme.value} and scale_dtype is {scheme.scale_dtype}; {MERGE} has "
            "one scale a tensor, q8s, and the tensor's own dtype (None)"
        )
    if scheme.calibration is not Calibration.MIN_MAX:
        raise ValueError(f"calibration is {scheme.calibration}; {MERGE} has min_max alone")


def _check_expressible(weight: TensorScheme) -> None:
    """The fields of a tensor's scheme for which Burn has no words."""
    own: dict[str, object] = {
        "mapping": Mapping.SYMMETRIC,
        "zero_point_domain": ZeroPointDomain.NONE,
        "statistic": Own(),
    }
    for name, value in own.items():
        if getattr(weight, name) != value:
            raise ValueError(f"{name} is {getattr(weight, name)}; Burn's tensors have {value}")


def _backend(rules: Rules) -> str:
    """The rule set these rules are."""
    for name, known in BURN_RULE_SETS.items():
        if known == rules:
            return name
    nearest = min(BURN_RULE_SETS, key=lambda name: len(rules.differences(BURN_RULE_SETS[name])))
    told = ", ".join(
        f"{field} {here} (there {there})" for field, here, there in rules.differences(BURN_RULE_SETS[nearest])
    )
    raise ValueError(f"the rules are no backend's of Burn; the nearest, {nearest}, differs in {told or 'its policy'}")
