"""How fully_shard gathers a FakeQuantizedTensor: plain numbers travel, and the whole weight is wrapped anew."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

if TYPE_CHECKING:
    from torch.distributed.device_mesh import DeviceMesh
    from torch.distributed.fsdp import MixedPrecisionPolicy

    from quant.scheme import QuantScheme


class Shards:
    """The two functions by which FSDP2 lets a tensor subclass say what is gathered.

    A shard is never quantized: scales, also one for the whole tensor, are chosen after the gather.
    """

    original: Tensor
    scheme: QuantScheme

    def fsdp_pre_all_gather(
        self,
        mesh: DeviceMesh,
        outer_size: torch.Size,
        outer_stride: tuple[int, ...],
        module: nn.Module,
        mp_policy: MixedPrecisionPolicy,
    ) -> tuple[tuple[Tensor, ...], torch.Size]:
        """(what this rank sends, the whole weight's size): its rows in param_dtype, padded to as many as rank 0 has."""
        shard = self.original.to(mp_policy.param_dtype or self.original.dtype)
        rows = -(-outer_size[0] // mesh.size())
        if len(shard) < rows:
            shard = torch.cat((shard, shard.new_zeros(rows - len(shard), *outer_size[1:])))
        return (shard,), outer_size

    def fsdp_post_all_gather(
        self,
        all_gather_outputs: tuple[Tensor, ...],
        metadata: torch.Size,
        param_dtype: torch.dtype,
        *,
        out: Tensor | None = None,
    ) -> Any:
        """(the whole weight, the memory it lies in). Given `out`, that memory already holds what was gathered."""
        (gathered,) = all_gather_outputs
        if out is not None:
            return None
        return type(self)(gathered[: metadata[0]], self.scheme), (gathered,)  # type: ignore[call-arg]  # a FakeQuantizedTensor
