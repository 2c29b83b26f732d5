"""digest(x) = blake2b-64(dtype, shape, little-endian canonical bytes): equal digests, equal bits (but for 2^-64).

Two runs on two machines are compared by nothing else, so a digest must never change its meaning: golden digests are
committed in suites/test_digest.py. The bits are canonical under parity.bits.DEFAULT: one NaN, two zeros.
"""

import sys
from hashlib import blake2b

from torch import Tensor

from parity.bits import bits, dtype_name

_DIGEST_BYTES = 8


def digest(x: Tensor) -> str:
    """16 lower-case hex digits. Strides, device and requires_grad leave no mark; dtype and shape do."""
    return digests(x.unsqueeze(0))[0]


def digests(stacked: Tensor) -> list[str]:
    """[digest(stacked[i]) for i in range(N)] for stacked [N, ...], turned into bytes once.

    Raises ValueError for a 0-d tensor, which stacks nothing.
    """
    if stacked.dim() == 0:
        raise ValueError("digests needs a leading axis of cases, but the tensor is 0-d; digest(x) takes one case")
    head = blake2b(_header(stacked), digest_size=_DIGEST_BYTES)
    data = memoryview(little_endian(stacked))
    n = stacked.shape[0]
    size = len(data) // n if n else 0
    texts = []
    for start in range(0, n * size, size) if size else [0] * n:
        case = head.copy()
        case.update(data[start : start + size])
        texts.append(case.hexdigest())
    return texts


def _header(stacked: Tensor) -> bytes:
    """dtype and the shape of one case, ended by a NUL so that no header is the beginning of another."""
    return f"{dtype_name(stacked.dtype)}[{','.join(map(str, stacked.shape[1:]))}]\0".encode()


def little_endian(x: Tensor) -> bytes:
    """The canonical bits of x, row by row, as little-endian bytes."""
    array = bits(x).cpu().numpy()
    return (array if sys.byteorder == "little" else array.byteswap()).tobytes()
