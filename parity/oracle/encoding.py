"""Tensors from bits and back: every float dtype through its sign, exponent and mantissa fields, no cast of torch's."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
import torch
from torch import Tensor

from parity.oracle.binary_format import BinaryFormat, dtype_of, format_of

_WORDS = {
    8: (torch.int8, np.uint8),
    16: (torch.int16, np.uint16),
    32: (torch.int32, np.uint32),
    64: (torch.int64, np.uint64),
}


def decode(x: Tensor) -> Any:
    """The values of a float tensor as a float64 array, whatever the process does with subnormals."""
    form = format_of(x.dtype)
    signed, unsigned = _WORDS[form.width]
    word = x.detach().cpu().contiguous().view(signed).numpy().view(unsigned)
    if form.width == 64:
        return word.view(np.float64)
    return _table(form)[word] if form.width == 16 else _values(word, form)


@lru_cache
def _table(form: BinaryFormat) -> Any:
    """The value of every pattern of 16 bits."""
    return _values(np.arange(2**16, dtype=np.uint16), form)


def _values(word: Any, form: BinaryFormat) -> Any:
    word = word.astype(np.uint64)
    mantissa = word & np.uint64(2**form.mantissa_bits - 1)
    exponent = ((word >> np.uint64(form.mantissa_bits)) & np.uint64(2**form.exponent_bits - 1)).astype(np.int64)
    negative = (word >> np.uint64(form.width - 1)).astype(bool)
    significand = mantissa.astype(np.float64) + np.where(exponent > 0, 2.0**form.mantissa_bits, 0.0)
    size = np.ldexp(significand, np.maximum(exponent, 1) - 1 + form.emin - form.mantissa_bits)
    if form.has_infinity:
        special = np.where(mantissa == 0, np.inf, np.nan)
        size = np.where(exponent == 2**form.exponent_bits - 1, special, size)
    else:
        size = np.where(size > form.largest, np.nan, size)
    return np.where(negative, -size, size)


def encode(values: Any, form: BinaryFormat) -> Tensor:
    """A tensor of the format's dtype from a float64 array of its values; NaN is the positive quiet one.

    Raises ValueError for a number that the format does not hold: the oracle rounds before it stores.
    """
    values = np.array(values, dtype=np.float64)
    signed, unsigned = _WORDS[form.width]
    size, finite, dropped = abs(values), np.isfinite(values), 52 - form.mantissa_bits
    word = size.view(np.int64)
    lost = (word & ((1 << dropped) - 1)) != 0
    word = (word >> dropped) - ((form.emin + 1022) << form.mantissa_bits)
    below = size < 2.0**form.emin
    if below.any():  # a subnormal's pattern is its number of steps
        steps = np.ldexp(size[below], form.mantissa_bits - form.emin)
        word[below], lost[below] = steps, steps != np.floor(steps)
    lost = (finite & (lost | (size > form.largest))) | (np.isinf(values) & (not form.has_infinity))
    if lost.any():
        raise ValueError(f"{values[lost].flat[0]!r} is no value of {form.name}; round it first")
    if not finite.all():
        infinite = (2**form.exponent_bits - 1) << form.mantissa_bits
        payload = 2 ** (form.mantissa_bits - 1) if form.has_infinity else 2**form.mantissa_bits - 1
        word = np.where(finite, word, np.where(np.isnan(values), infinite | payload, infinite))
    negative = np.signbit(values) & (values == values)
    word = word.astype(unsigned) | (negative.astype(unsigned) << unsigned(form.width - 1))
    bits = np.ascontiguousarray(word).view(np.dtype(str(signed).removeprefix("torch.")))
    return torch.from_numpy(bits).view(dtype_of(form))
