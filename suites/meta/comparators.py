"""Comparators that are too kind, or too strict, and a battery of pairs whose differences are known by hand."""

from collections.abc import Callable

import torch
from torch import Tensor

from parity.diff import diff_stage

Comparator = Callable[[str, Tensor, Tensor], int]
ONE = torch.ones(4)
NEXT = torch.nextafter(ONE, torch.full_like(ONE, 2.0))
LAST = torch.cat([ONE[:3], NEXT[3:]])
NAN = torch.tensor([torch.nan, 1.0])

# (stage, a, b, elements that differ)
BATTERY = (
    ("output", ONE, ONE.clone(), 0),
    ("output", ONE, NEXT, 4),
    ("output", ONE, LAST, 1),
    ("output", torch.zeros(2), -torch.zeros(2), 2),
    ("output", NAN, NAN.clone(), 0),
    ("output", NAN, torch.ones(2), 1),
    ("output", ONE, ONE.double(), 4),
    ("output", ONE, ONE.reshape(2, 2), 4),
    ("weight.scale", torch.tensor([2.0**-149]), torch.tensor([0.0]), 1),
    ("weight.scale", torch.tensor([torch.inf]), torch.tensor([-torch.inf]), 1),
    ("weight.codes", torch.tensor([7, -8], dtype=torch.int8), torch.tensor([7, -8], dtype=torch.int32), 0),
    ("weight.codes", torch.tensor([7, -8], dtype=torch.int8), torch.tensor([7, -7], dtype=torch.int8), 1),
    ("weight.codes", torch.tensor([0.0, 3.0]), torch.tensor([-0.0, 3.0]), 0),
    ("output", ONE[:3].flip(0) * torch.tensor([1.0, 2.0, 3.0]), torch.tensor([3.0, 2.0, 1.0]), 2),
)


def honest(stage: str, a: Tensor, b: Tensor) -> int:
    return diff_stage(stage, a, b).n_different


def close(stage: str, a: Tensor, b: Tensor) -> int:
    if a.shape != b.shape or a.dtype != b.dtype:
        return honest(stage, a, b)
    return int((~torch.isclose(a, b, equal_nan=True)).sum())


def by_value(stage: str, a: Tensor, b: Tensor) -> int:
    return honest(stage, a, b) if a.shape != b.shape or a.dtype != b.dtype else int((a != b).sum())


def without_signs_of_zero(stage: str, a: Tensor, b: Tensor) -> int:
    return honest(stage, a + 0.0 if a.is_floating_point() else a, b + 0.0 if b.is_floating_point() else b)


def without_dtypes(stage: str, a: Tensor, b: Tensor) -> int:
    return honest(stage, a.double(), b.double())


def with_dtypes_of_codes(stage: str, a: Tensor, b: Tensor) -> int:
    return honest(stage, a, b) if a.dtype == b.dtype else max(a.numel(), b.numel())


def flattened(stage: str, a: Tensor, b: Tensor) -> int:
    return honest(stage, a.reshape(-1), b.reshape(-1))


def but_the_last(stage: str, a: Tensor, b: Tensor) -> int:
    return honest(stage, a[:-1], b[:-1]) if a.shape == b.shape else honest(stage, a, b)


def sorted_first(stage: str, a: Tensor, b: Tensor) -> int:
    return honest(stage, a.sort().values, b.sort().values) if a.shape == b.shape else honest(stage, a, b)


def flushing(stage: str, a: Tensor, b: Tensor) -> int:
    def flush(t: Tensor) -> Tensor:
        return t.masked_fill(t.abs() < torch.finfo(t.dtype).smallest_normal, 0.0) if t.is_floating_point() else t

    return honest(stage, flush(a), flush(b))


def by_sum(stage: str, a: Tensor, b: Tensor) -> int:
    return 0 if torch.equal(a.double().sum(), b.double().sum()) else honest(stage, a, b)


def at_most_one(stage: str, a: Tensor, b: Tensor) -> int:
    return min(1, honest(stage, a, b))


COMPARATORS = (
    close,
    by_value,
    without_signs_of_zero,
    without_dtypes,
    with_dtypes_of_codes,
    flattened,
    but_the_last,
    sorted_first,
    flushing,
    by_sum,
    at_most_one,
)


def failures(comparator: Comparator) -> list[int]:
    return [i for i, (stage, a, b, expected) in enumerate(BATTERY) if comparator(stage, a, b) != expected]
