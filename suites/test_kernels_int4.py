"""Packed int4: tiles round-trip; the product dequantizes as declared, keeps its bound, and does not know its batch."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from kernels.int4_tiles import half_width, pack_tiles, unpack_tiles
from suites.rationals import same_bits


@pytest.mark.parametrize("half", [32, 64])
def test_tiles_round_trip_and_lie_as_declared(half: int) -> None:
    codes = torch.randint(0, 16, (128, 4 * half), generator=torch.Generator().manual_seed(half), dtype=torch.int32)
    tiles = pack_tiles(codes, half)
    assert torch.equal(unpack_tiles(tiles).int(), codes)
    for n, k in ((0, 0), (1, 3), (63, half), (64, 2 * half + 5), (127, 4 * half - 1)):
        byte = int(tiles[n // 64, k // (2 * half), n % 64, k % half])
        assert (byte >> 4 if k % (2 * half) >= half else byte & 15) == int(codes[n, k])


def test_what_does_not_tile_is_refused() -> None:
    with pytest.raises(ValueError, match=r"^group is 48, but a half of a tile lies within one group"):
        half_width(48)
    with pytest.raises(ValueError, match=r"^codes are 65 x 128; tiles need a multiple of 64 rows"):
        pack_tiles(torch.zeros(65, 128), 64)
    with pytest.raises(ValueError, match=r"^codes run from 0 to 16; a nibble holds 0 to 15"):
        pack_tiles(torch.arange(17).repeat(64, 8)[:, :128], 64)


def layer(group: int, float_domain: bool, n: int = 192, k: int = 1024) -> tuple[Tensor, Tensor, Tensor]:
    """Codes [n, k], and scale and zero point [k / group, n] in bfloat16."""
    generator = torch.Generator().manual_seed(group)
    codes = torch.randint(0, 16, (n, k), generator=generator, dtype=torch.int32)
    scale = (torch.rand(k // group, n, generator=generator) * 0.02 + 1e-4).bfloat16()
    if float_domain:
        return codes, scale, torch.randn(k // group, n, generator=generator).mul(2.0).bfloat16()
    return codes, scale, torch.randint(0, 16, (k // group, n), generator=generator).bfloat16()


def dequantized(codes: Tensor, scale: Tensor, zero_point: Tensor, float_domain: bool) -> Tensor:
    """The declared weights; float64 holds (q - 8) * s + z exactly here, and narrow rounds it once."""
    from kernels import narrow

    group = codes.shape[1] // scale.shape[0]
    s, z = (t.double().T.repeat_interleave(group, dim=1) for t in (scale, zero_point))
    exact = (codes - 8) * s + z if float_domain else (codes - z) * s
    return narrow(exact, torch.bfloat16)


@pytest.mark.gpu
@pytest.mark.parametrize("float_domain", [False, True], ids=["int", "float"])
@pytest.mark.parametrize("group", [32, 64, 128])
def test_an_identity_reads_the_declared_weights(group: int, float_domain: bool) -> None:
    from kernels.int4_matmul_triton import int4_matmul

    codes, scale, zero_point = layer(group, float_domain)
    operands = (pack_tiles(codes, half_width(group)).cuda(), scale.cuda(), zero_point.cuda())
    read = int4_matmul(torch.eye(1024, dtype=torch.bfloat16, device="cuda"), *operands, float_domain=float_domain)
    assert same_bits(read.T.contiguous().cpu() + 0.0, dequantized(codes, scale, zero_point, float_domain) + 0.0)


@pytest.mark.gpu
@pytest.mark.parametrize("float_domain", [False, True], ids=["int", "float"])
def test_rows_do_not_know_their_batch_and_keep_the_bound(float_domain: bool) -> None:
    from kernels.int4_matmul_triton import PARTS, int4_matmul

    codes, scale, zero_point = layer(128, float_domain)
    operands = (pack_tiles(codes, half_width(128)).cuda(), scale.cuda(), zero_point.cuda())
    x = torch.randn(256, 1024, generator=torch.Generator().manual_seed(3)).bfloat16().cuda()
    whole = int4_matmul(x, *operands, float_domain=float_domain)
    for m in (1, 2, 16, 17, 64, 100, 256):
        part = int4_matmul(x[:m].contiguous(), *operands, float_domain=float_domain)
        assert same_bits(part.cpu(), whole[:m].cpu()), m
    weight = dequantized(codes, scale, zero_point, float_domain).double()
    exact, size = x.cpu().double() @ weight.T, x.cpu().double().abs() @ weight.abs().T
    bound = (1024 + PARTS) * 2.0**-23 * size
    error = (whole.cpu().double() - exact).abs()
    assert bool((error <= bound + (exact.abs() + bound) * 2.0**-8).all())
