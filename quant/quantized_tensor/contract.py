"""A contract: what torch's operations make of a quantized tensor beside the table of kinds, decision by decision."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from types import MappingProxyType
from typing import Final

from quant.quantized_tensor import decisions as d
from quant.quantized_tensor.kinds import LATER, OPERATIONS, Kind
from quant.rules import check_members, parse_members


@dataclass(frozen=True, slots=True, kw_only=True)
class Contract:
    """The decisions of an epoch or of a backend, in the order they act; the defaults are the engine's own.

    Raises ValueError when a field holds no member of its enumeration.
    """

    name: str
    source_order: d.SourceOrder = d.SourceOrder.INDEX
    exported_scheme: d.ExportedScheme = d.ExportedScheme.WHOLE
    exported_zero_point: d.ExportedZeroPoint = d.ExportedZeroPoint.KEPT
    layout_codes: d.LayoutCodes = d.LayoutCodes.MOVED
    moved_scales: d.MovedScales = d.MovedScales.WITH_CODES
    packed_axis: d.PackedAxis = d.PackedAxis.FOLLOWED
    compared: d.Compared = d.Compared.VALUES
    later_operations: d.LaterOperations = d.LaterOperations.BY_TABLE
    mixed_elementwise: d.MixedElementwise = d.MixedElementwise.VALUES
    float_by_quantized: d.FloatByQuantized = d.FloatByQuantized.FLOAT
    mixed_rules: d.MixedRules = d.MixedRules.SCHEME
    mixed_product: d.MixedProduct = d.MixedProduct.PROPAGATED
    product_scheme: d.ProductScheme = d.ProductScheme.LEFT
    requantized_range: d.RequantizedRange = d.RequantizedRange.DECLARED

    def __post_init__(self) -> None:
        check_members(self)

    @classmethod
    def decisions(cls) -> tuple[str, ...]:
        """Names of the fields that can move a bit or a kind, in the order they act."""
        return tuple(f.name for f in fields(cls) if f.name != "name")

    def with_values(self, name: str | None = None, **values: str) -> Contract:
        """This contract with some decisions changed, given as members or as their text: `compared="codes"`."""
        return replace(self, name=self.name if name is None else name, **parse_members(type(self), values))

    def kind_of(self, operation: str) -> Kind:
        """The kind of an operation by its name in torch; one that writes in place is refused."""
        if operation in LATER and self.later_operations is d.LaterOperations.FLOAT:
            return Kind.FLOAT
        if operation in OPERATIONS:
            return OPERATIONS[operation]
        return Kind.REFUSE if operation.endswith("_") and not operation.endswith("__") else Kind.FLOAT


ENGINE: Final = Contract(name="engine")

# What pull request #3042 says, and what its ndarray backend made of it: a tensor that is exported forgets its scheme.
BURN_3042: Final = ENGINE.with_values(
    "burn_3042",
    later_operations="float",
    mixed_elementwise="refused",
    float_by_quantized="requantized",
    mixed_rules="library",
    mixed_product="float",
    requantized_range="extremes",
)
BURN_3042_NDARRAY: Final = BURN_3042.with_values("burn_3042_ndarray", exported_scheme="defaults")

# August 2026: the operations that backends inherit, and what three backends have in their place.
BURN_HEAD: Final = ENGINE.with_values(
    "burn_head", mixed_rules="library", product_scheme="right", requantized_range="extremes"
)
BURN_HEAD_NDARRAY: Final = BURN_HEAD.with_values("burn_head_ndarray", moved_scales="in_place", compared="codes")
BURN_HEAD_FLEX: Final = BURN_HEAD.with_values("burn_head_flex", layout_codes="requantized", compared="codes")
BURN_HEAD_GPU: Final = BURN_HEAD.with_values("burn_head_gpu", product_scheme="left")

CONTRACTS: Final = MappingProxyType(
    {
        contract.name: contract
        for contract in (
            *(ENGINE, BURN_3042, BURN_3042_NDARRAY),
            *(BURN_HEAD, BURN_HEAD_NDARRAY, BURN_HEAD_FLEX, BURN_HEAD_GPU),
        )
    }
)
