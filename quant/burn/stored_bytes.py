"""The bytes of a quantized tensor as Burn keeps them: its codes in words, then its scales; bit for bit both ways."""

from __future__ import annotations

import torch
from torch import Tensor

from quant.burn.conversion import tensor_scheme
from quant.burn.scheme import BurnScheme
from quant.codes import Quantized
from quant.granularity import groups_of
from quant.layouts import u32
from quant.qparams import QParams
from quant.rules import Rules


def to_bytes(quantized: Quantized, *, by_rows: bool = False) -> bytes:
    """Codes in little-endian words, the first in the lowest bits, then the scales in their dtype, no gap between; a
    scale above them comes last.

    At the merge the codes are one run, filled up to a word at its end; `by_rows`, as later, each row is. Raises
    ValueError for codes of other than 2, 4 or 8 bits, and for a zero point, which has no place.
    """
    scheme = quantized.qparams.scheme
    _check_bits(scheme.bits)
    if quantized.qparams.zero_point is not None:
        raise ValueError("the tensor has a zero point; Burn's bytes hold codes and scales, so use the none domain")
    codes = quantized.codes if by_rows else quantized.codes.reshape(-1)
    upper = quantized.qparams.global_scale
    parts = (u32.pack(codes, scheme.bits), quantized.qparams.scale, *(() if upper is None else (upper,)))
    return b"".join(map(_bytes_of, parts))


def from_bytes(
    data: bytes, scheme: BurnScheme, rules: Rules, shape: tuple[int, ...], dtype: torch.dtype, *, by_rows: bool = False
) -> Quantized:
    """The tensor that to_bytes wrote, `dtype` being that of the tensor it was made of.

    Raises ValueError where the length is not that of such a tensor.
    """
    resolved = tensor_scheme(scheme, rules).resolved(dtype)
    _check_bits(resolved.bits)
    runs, count = (shape[:-1], shape[-1]) if by_rows else ((), torch.Size(shape).numel())
    words = (*runs, -(-count * resolved.bits // 32))
    scale_shape = groups_of(resolved.granularity, shape).qparam_shape
    upper_dtype, split = resolved.global_scale_dtype, 4 * torch.Size(words).numel()
    lower_end = split + torch.Size(scale_shape).numel() * resolved.scale_dtype.itemsize
    expected = lower_end + (0 if upper_dtype is None else upper_dtype.itemsize)
    if len(data) != expected:
        raise ValueError(
            f"there are {len(data)} bytes; a tensor {shape} of {scheme.value} has {split} of codes and "
            f"{expected - split} of scales"
        )
    codes = u32.unpack(_tensor_of(data[:split], torch.int32, words), resolved.bits, count).reshape(shape)
    scale = _tensor_of(data[split:lower_end], resolved.scale_dtype, scale_shape)
    upper = None if upper_dtype is None else _tensor_of(data[lower_end:], upper_dtype, (1,) * len(scale_shape))
    qparams = QParams(scale=scale, zero_point=None, scheme=resolved, global_scale=upper)
    return Quantized(codes=codes, qparams=qparams)


def _check_bits(bits: int) -> None:
    if bits not in (2, 4, 8):
        raise ValueError(f"the codes have {bits} bits; words hold codes of 2, 4 or 8")


def _bytes_of(t: Tensor) -> bytes:
    return t.cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes()


def _tensor_of(data: bytes, dtype: torch.dtype, shape: tuple[int, ...]) -> Tensor:
    return torch.frombuffer(bytearray(data), dtype=dtype).reshape(shape)
