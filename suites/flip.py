"""How many elements one decision moves on directed groups: python -m suites.flip engine code_division=divide.

Prints a line for each dtype of the tensor and of the scale: the stages that move and how many of their elements do,
over mappings, domains and grids of 4 and 8 bits; a fake stage only where it moves otherwise than the stored one.
Several flips (a=b c=d) are made together. The decision pages in docs/decisions quote it.
"""

from __future__ import annotations

import argparse
from collections import Counter
from dataclasses import replace
from itertools import product

import torch

from parity.bits import bits
from quant import Rules, TensorScheme, ZeroPointDomain, rules_named
from quant.granularity import PerGroup
from quant.mapping import INTEGER_GRIDS
from suites.directed_groups import FLOATS, SIZE, directed
from suites.quant_stages import ORDER, Stages, stages_of, uneven_gradient

DOMAINS = {"int": torch.int32, "float": "model", "none": None}
GRIDS = ((4, -8, 7), (8, -128, 127), (4, 0, 15))


def main(argv: list[str] | None = None) -> None:
    """Parse "BASE FIELD=VALUE ..." and print one line for each pair of dtypes."""
    parser = argparse.ArgumentParser(prog="python -m suites.flip", description=__doc__.splitlines()[0])
    parser.add_argument("base", help="a named rule set")
    parser.add_argument("flips", nargs="+", metavar="FIELD=VALUE")
    parser.add_argument("--domain", choices=DOMAINS, action="append", help="only this zero-point domain")
    parser.add_argument("--finite", action="store_true", help="no NaN and no infinities among the inputs")
    given = parser.parse_args(argv)
    base = replace(rules_named(given.base)[0], refuse_lossy=False)
    flipped = base.with_values(**dict(flip.split("=") for flip in given.flips))
    for dtype, scale_dtype in product(FLOATS, (*FLOATS, torch.float64)):
        moved, total = count(base, flipped, dtype, scale_dtype, tuple(given.domain or DOMAINS), given.finite)
        stages = [
            stage for stage in ORDER if moved[stage] != moved[stage.removeprefix("fake ")] * (stage[:4] == "fake")
        ]
        text = ", ".join(f"{stage} {moved[stage]} of {total[stage]}" for stage in stages)
        print(f"{_short(dtype):>8} scale {_short(scale_dtype):>8}: {text or 'nothing moves'}")


def count(
    base: Rules,
    flipped: Rules,
    dtype: torch.dtype,
    scale_dtype: torch.dtype,
    domains: tuple[str, ...] = tuple(DOMAINS),
    finite: bool = False,
) -> tuple[Counter[str], Counter[str]]:
    """(elements that differ, elements in all) by stage, over mappings, domains and grids."""
    moved: Counter[str] = Counter()
    total: Counter[str] = Counter()
    for domain, mapping, (width, qmin, qmax) in product(domains, INTEGER_GRIDS, GRIDS):
        try:
            scheme = TensorScheme(
                bits=width,
                qmin=qmin,
                qmax=qmax,
                granularity=PerGroup(SIZE),
                mapping=mapping,
                zero_point_domain=ZeroPointDomain(domain),
                zero_point_dtype=DOMAINS[domain],
                scale_dtype=scale_dtype,
                eps=torch.finfo(torch.float16).smallest_normal,
                rules=base,
            )
            other = replace(scheme, rules=flipped)
            scheme.resolved(dtype)
            other.resolved(dtype)
        except ValueError:
            continue
        x = directed(scheme, dtype, finite=finite)
        grad = uneven_gradient(x)
        _add(moved, total, stages_of(scheme, x, grad), stages_of(other, x, grad))
    return moved, total


def _add(moved: Counter[str], total: Counter[str], a: Stages, b: Stages) -> None:
    for stage in ORDER:
        one, other = a[stage], b[stage]
        if one is None or other is None:
            continue
        total[stage] += one.numel()
        alike = one.dtype is other.dtype
        moved[stage] += int((bits(one) != bits(other)).sum()) if alike else one.numel()


def _short(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")


if __name__ == "__main__":
    main()
