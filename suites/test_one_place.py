"""Nothing is computed in two places: rounding, bounding, dividing and casting occur only where a row below says why.

Found in the syntax of kernels/ and quant/, by the names of methods and of the kernels' functions and by the division
sign. parity computes on purpose: its oracle is an opinion of its own that shares no arithmetic with what it judges, its
inputs are laid and its differences measured in units that look like codes. There, rounding and bounding have rows.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TypeGuard

HOUSE = Path(__file__).resolve().parent.parent

METHODS = {
    "round": {
        *("round", "round_", "floor", "floor_", "ceil", "ceil_", "trunc", "trunc_", "fix", "rint", "frac"),
        *("frexp", "ldexp", "nextafter", "fake_quantize_per_tensor_affine", "fake_quantize_per_channel_affine"),
    },
    "bound": {"clamp", "clamp_", "clip", "clip_", "clamp_min", "clamp_max", "minimum", "maximum", "hardtanh"},
    "divide": {"div", "div_", "divide", "true_divide", "floor_divide", "reciprocal", "reciprocal_", "rsqrt", "div_rn"},
    "cast": {"to", "type", "type_as", "float", "double", "half", "bfloat16", "int", "long", "short", "char", "byte"},
}
LIBRARIES = ("torch", "tl")  # whose functions count when they are handed on, too
FUNCTIONS = {
    "round": {"round", "half_even", "half_away", "half_away_by_adding", "half_up", "truncate"},
    "divide": {"divide", "divide_by_reciprocal", "reciprocal", "reciprocal_to_odd"},
    "cast": {"cast", "narrow", "cast_to_integer"},
}

# module, or a pattern of modules: (operations, why they are there)
ALLOWED = {
    # how a device computes: each operation once, and once more where a device needs its own version, bit-equal to it
    "kernels/*": ("cast", "what a kernel is carried in is its own affair"),
    "kernels/*_triton": ("bound divide", "a device's own version of what stands beside it"),
    "kernels/bit_difference": ("bound", "the order of distances"),
    "kernels/bit_line": ("bound", "distances"),
    "kernels/divide": ("divide", "the one division"),
    "kernels/narrow": ("round bound", "the one narrowing cast, and the number above its result"),
    "kernels/rounding": ("round", "the one place that rounds to integers"),
    "kernels/significance": ("bound", "bits that rows span"),
    # what quantization means: a step of the path, each decision in one module
    "quant/extent": ("bound divide cast", "step 1: the magnitude that stretched grids reach to"),
    "quant/qparams": ("bound cast", "step 1: ranges"),
    "quant/scale": ("round bound divide cast", "steps 2 to 6: scales"),
    "quant/zero_point": ("round bound divide cast", "steps 7 to 10: zero points"),
    "quant/quotient": ("bound divide cast", "steps 11 and 12: x / s"),
    "quant/codes": ("round bound cast", "steps 13 to 17: codes"),
    "quant/dequantize": ("cast", "steps 18 to 22: values"),
    "quant/gradient": ("divide cast", "what passes back through a step"),
    "quant/device": ("cast", "the one cast of a scheme, and what a device makes of a result"),
    "quant/integers": ("cast", "the one conversion to integers"),
    "quant/product": ("cast", "operands and outputs of a float product"),
    "quant/code_linear": ("cast", "the rescaling of a product of codes"),
    "quant/embedding": ("cast", "the declared output dtype of a lookup"),
    "quant/learned": ("cast", "terms of a learned scale's gradient"),
    "quant/observers": ("bound", "the least and greatest of what was observed"),
    "quant/fused": ("divide cast", "a scheme's numbers for the fused kernel"),
    "quant/compiled_rows": ("bound cast", "rows on which compiled code is held against the plain path"),
    # PARQ: weights pulled towards a grid while they train
    "quant/parq/lookup_table": ("cast", "the values of a grid as a table"),
    "quant/parq/optimizer": ("divide", "the annealing of a step"),
    "quant/parq/proximal": ("bound divide cast", "the maps towards the nearest value of the grid"),
    "quant/parq/schedule": ("divide", "the annealing of a step"),
    # numbers about schemes, no tensor of a model
    "quant/legality": ("divide cast", "whether an eps survives its way to the division"),
    "quant/relevance": ("cast", "whether an eps survives a dtype"),
    "quant/scheme": ("divide", "the middle of a grid"),
    # tensors moved, not computed
    "quant/layouts/*": ("cast", "codes as the bytes of a kernel"),
    "quant/packing": ("cast", "codes as the bytes of a kernel"),
    "quant/load": ("cast", "to the device of the layer"),
    "quant/safetensors_file": ("cast", "to the cpu"),
    "quant/subclass/shards": ("cast", "a gathered shard in its declared dtype"),
}
PARITY_ALLOWED = {
    "parity/coverage": ("round", "whether a quotient is a tie"),
    "parity/diff": ("round", "which codes are integers"),
    "parity/fills": ("round bound", "where inputs are laid: ties and edges, no codes"),
    "parity/flips": ("round", "an eps read off a scale"),
    "parity/small_case": ("round", "the next value to try"),
    "parity/proving/prove": ("round", "seconds, for people"),
}
# An opinion of its own, and what is asked of a backend that shows no stages.
APART = ("parity/oracle/", "parity/black_box/")


def operations(path: Path) -> Iterator[tuple[str, int]]:
    """(operation, line) of everything in a module that rounds, bounds, divides or casts."""
    tree = ast.parse(path.read_text())
    called = {id(node.func) for node in ast.walk(tree) if isinstance(node, ast.Call)}
    typed = {alias.name for node in ast.walk(tree) if _is_typing(node) for alias in node.names}
    for node in ast.walk(tree):
        if isinstance(node, ast.BinOp | ast.AugAssign) and isinstance(node.op, ast.Div):
            yield "divide", node.lineno
        elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Load):
            for operation, names in METHODS.items():
                on_library = isinstance(node.value, ast.Name) and node.value.id in LIBRARIES
                if node.attr in names and (id(node) in called or (on_library and operation != "cast")):
                    yield operation, node.lineno
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load) and node.id not in typed:
            for operation, names in FUNCTIONS.items():
                if node.id in names:
                    yield operation, node.lineno


def _is_typing(node: ast.AST) -> TypeGuard[ast.ImportFrom]:
    """typing.cast computes nothing."""
    return isinstance(node, ast.ImportFrom) and node.module == "typing"


def found(room: str) -> dict[str, set[str]]:
    """What each module of a room does."""
    modules = {}
    for path in sorted((HOUSE / room).rglob("*.py")):
        did = {operation for operation, _ in operations(path)}
        if did:
            modules[path.relative_to(HOUSE).with_suffix("").as_posix()] = did
    return modules


def pairs(modules: dict[str, set[str]]) -> set[tuple[str, str]]:
    return {(module, operation) for module, did in modules.items() for operation in did}


def unaccounted(there: set[tuple[str, str]], table: dict[str, tuple[str, str]]) -> tuple[list[str], list[str]]:
    """(what no row speaks of, rows that speak of nothing there is)."""
    rows = {(pattern, operation) for pattern, (allowed, _) in table.items() for operation in allowed.split()}
    met = {(p, o): [module for module, did in there if did == o and fnmatchcase(module, p)] for p, o in rows}
    known = {(module, operation) for (_, operation), modules in met.items() for module in modules}
    new = sorted(f"{operation} in {module}" for module, operation in there - known)
    return new, sorted(f"{operation} in {pattern}" for (pattern, operation), modules in met.items() if not modules)


def test_kernels_and_quant_compute_only_where_a_row_says_so() -> None:
    """A new line here: reuse what the path has, or add a row that says why. A stale one: take its row away."""
    assert unaccounted(pairs(found("kernels") | found("quant")), ALLOWED) == ([], [])


def test_parity_rounds_and_bounds_only_inputs_and_measures() -> None:
    there = {
        (module, operation)
        for module, operation in pairs(found("parity"))
        if operation in ("round", "bound") and not module.startswith(APART)
    }
    assert unaccounted(there, PARITY_ALLOWED) == ([], [])


def test_the_search_sees_what_it_looks_for(tmp_path: Path) -> None:
    """One line for each way to write an operation."""
    lines = {
        "round": ("x.round()", "torch.floor(x)", "half_even(x)", "torch.round(x)", "table = {1: half_up}"),
        "bound": ("x.clamp(0, 1)", "torch.maximum(a, b)", "x.clamp_(min=0)", "ends = (torch.minimum, torch.maximum)"),
        "divide": ("a / b", "x.div(2)", "divide(a, b)", "x /= 3", "torch.reciprocal(x)"),
        "cast": ("x.to(torch.int8)", "x.float()", "narrow(x, d)", "cast(x, d, r)"),
    }
    path = tmp_path / "module.py"
    for operation, texts in lines.items():
        for text in texts:
            path.write_text(text)
            assert {name for name, _ in operations(path)} == {operation}, text
    none = ("from typing import cast", "x = cast(int, y)", "from kernels.rounding import half_even", "x = a // b")
    path.write_text("\n".join((*none, "y = (x.device.type, qparams.minimum)")))
    assert not [*operations(path)]
