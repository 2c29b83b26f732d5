"""scattered_sums(rows, indices, n)[i] = R(the exact sum of rows[j] over every j with indices[j] == i)."""

import torch
from torch import Tensor

from kernels.exact_product import exact_product


def scattered_sums(rows: Tensor, indices: Tensor, n: int) -> Tensor:
    """`rows`: [M, width], float32, bfloat16 or float16; `indices`: [M], from 0 to n - 1; returns [n, width], zeros
    where nothing was scattered.

    The exact product of the indices' one-hot rows with `rows`, over the indices that occur: neither the order of rows
    nor the device can move a bit.
    """
    occurring, place = indices.unique(return_inverse=True)
    one_hot = (torch.arange(len(occurring), device=rows.device).unsqueeze(1) == place).to(rows.dtype)
    total = torch.zeros(n, rows.shape[-1], dtype=rows.dtype, device=rows.device)
    total[occurring] = exact_product(one_hot, rows.mT, None, rows.dtype).value
    return total
