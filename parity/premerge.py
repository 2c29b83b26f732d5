"""The premerge matrix, part by part: what no budget may cut first, the covering array last."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from itertools import product
from typing import Final

from parity.arrays import read_array
from parity.axes import AXES, FLOATS, LAYER_PRESETS, LAYERS, NARROW, PACKINGS, PRESETS, SCALES
from parity.cells import Cell, cell_at, parse_cell
from parity.epoch_cells import EPOCH_CELLS
from parity.found import read_found
from parity.tensor_cells import tensor_cells

DOMAINS: Final = ("int", "float", "none")
EPSES: Final = tuple(value for value in AXES["eps"].values if value != AXES["eps"].default)
# Where the cells run, and the families each configuration is given there; the last two are there to be listed as unrun.
FAMILIES_ON: Final = {"cpu": ("directed", "random"), "cuda": ("directed",)}
UNRUN_ON: Final = ("xpu", "mps")
# Presets that the full product leaves out: a grid of halves has one domain, a table's weights are intx_weight_only's.
_ONE_DOMAIN: Final = ("stretched_intx_weight_only",)
_OF_ANOTHER: Final = ("int4_weight_only_embedding",)
# Codes 0 .. 15 with a zero point that is a value: what most layouts hold.
_IN_FLOAT: Final = {"preset": "int4_weight_only"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """A stretch of a plan: its cells, why they are there, and whether a budget must leave them alone."""

    meaning: str
    cells: tuple[Cell, ...]
    protected: bool


@cache
def premerge_parts() -> tuple[Part, ...]:
    """Every cell of the tier once, in the first part that has it."""
    parts, seen = [], set[Cell]()
    for meaning, cells, protected in (
        ("cells in which something was found once", found_cells(), True),
        ("every preset, layer and dtype, with every family of inputs", _presets(), True),
        ("the full product of dtype, scale, domain, eps and device for every preset", _full_product(), True),
        ("the epochs of torchao, for every dtype of the model and of the scale", EPOCH_CELLS, True),
        ("every layout of 4-bit codes, where it is read and where it must be refused", _packings(), True),
        ("quantized tensors: operations, accumulators, levels and propagation, by Burn's rules", tensor_cells(), True),
        ("scales of eight bits, on one level and on two", _narrow_scales(), True),
        ("illegal cells: any two values that exclude each other, and every reason alone", read_array("illegal"), True),
        ("gradients of prepare: any two axis values that are legal together", read_array("gradients"), False),
        ("a covering array: any three axis values that are legal together", read_array("premerge"), False),
    ):
        own = tuple(cell for cell in dict.fromkeys(cells) if cell not in seen)
        seen.update(own)
        parts.append(Part(meaning=meaning, cells=own, protected=protected))
    return tuple(parts)


def found_cells() -> Iterator[Cell]:
    """The cells of parity/found.toml, in the order in which they were found."""
    yield from (parse_cell(found.cell) for found in read_found())


def _presets() -> Iterator[Cell]:
    for preset, op, dtype, family in product(LAYER_PRESETS, LAYERS, FLOATS, AXES["family"].values):
        yield cell_at({"preset": preset, "op": op, "dtype": dtype, "family": family})


def _packings() -> Iterator[Cell]:
    whole, value = {"preset": "int8_dynamic_int4_weight", "scale": "model"}, {**_IN_FLOAT, "scale": "model"}
    for packing, dtype, family in product(PACKINGS, FLOATS, ("directed", "random")):
        for scheme in (whole, value):
            yield cell_at({**scheme, "packing": packing, "dtype": dtype, "family": family})
    for packing, shape in product(PACKINGS, AXES["shape"].values):
        yield cell_at({**value, "packing": packing, "dtype": "bf16", "shape": shape, "group": "16"})
        yield cell_at({**value, "packing": packing, "dtype": "bf16", "shape": shape})
    for packing in PACKINGS:  # every reason against a layout, alone
        for changes in ({"bits": "8"}, {"pz": "yes"}, {"group": "channel"}, {"op": "embedding"}):
            yield cell_at({**value, "packing": packing, "dtype": "bf16", **changes})
        for changes in ({"domain": "none"}, {"zp": "int32"}, {"mapping": "asymmetric", "pz": "no"}):
            yield cell_at({**whole, "packing": packing, "dtype": "bf16", **changes})
        for dtype, other in (("fp32", "bf16"), ("bf16", "fp16"), ("fp16", "bf16")):
            yield cell_at({**_IN_FLOAT, "packing": packing, "dtype": dtype, "scale": other})
            yield cell_at({**value, "packing": packing, "dtype": dtype, "zp": other})


def _narrow_scales() -> Iterator[Cell]:
    for preset, dtype, scale in product(LAYER_PRESETS, FLOATS, NARROW):
        for family in FAMILIES_ON["cpu"]:
            yield cell_at({"preset": preset, "dtype": dtype, "scale": scale, "family": family})
        yield cell_at({"preset": preset, "dtype": dtype, "scale": scale, "op": "embedding", "group": "block"})
    for scale, packing in product(NARROW, PACKINGS):
        yield cell_at({**_IN_FLOAT, "dtype": "bf16", "scale": scale, "packing": packing})


def _full_product() -> Iterator[Cell]:
    for preset, dtype, scale, domain, eps, device in product(
        LAYER_PRESETS, FLOATS, SCALES, DOMAINS, EPSES, FAMILIES_ON
    ):
        if preset in _ONE_DOMAIN or preset in _OF_ANOTHER:
            continue
        point = {"preset": preset, "dtype": dtype, "scale": scale, "domain": domain, "eps": eps, "device": device}
        for family in FAMILIES_ON[device]:
            yield cell_at({**point, **_placed(preset, domain), "family": family})
    for preset, dtype, scale, eps in product(_ONE_DOMAIN, FLOATS, SCALES, EPSES):
        yield cell_at({"preset": preset, "dtype": dtype, "scale": scale, "domain": "int", "eps": eps})
    for preset, dtype, device in product(LAYER_PRESETS, FLOATS, UNRUN_ON):
        yield cell_at({"preset": preset, "dtype": dtype, "device": device})


def _placed(preset: str, domain: str) -> dict[str, str]:
    """The mapping and preserve_zero under which a preset has a meaning in a domain that need not be its own."""
    if domain == "float":
        return {"mapping": "asymmetric", "pz": "no"}
    if domain == "none":
        return {"mapping": "symmetric", "pz": "yes"}
    return {} if PRESETS[preset]["domain"] == "int" else {"mapping": "asymmetric", "pz": "yes"}
