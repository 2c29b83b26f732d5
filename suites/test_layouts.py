"""Layouts against ATen's own packers byte for byte, every nibble at every place and back, and what each refuses."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from quant.layouts.scales import interleave, separate
from quant.packing import Layout, Packing
from quant.presets import int4_weight_only, int8_dynamic_int4_weight
from quant.scheme import TensorScheme

ALL = [
    Packing.nibbles("low_first"),
    Packing.nibbles("high_first"),
    *(Packing.cpu_int4(order) for order in ("avx512", "avx2", "scalar")),
    *(Packing.cuda_tiled(tiles) for tiles in (2, 4, 8)),
    Packing.xpu_int4(),
]
SHAPES = [(16, 128), (32, 256), (64, 128), (80, 256), (128, 128), (144, 128)]


def codes_of(shape: tuple[int, ...]) -> Tensor:
    return torch.randint(0, 16, shape, generator=torch.Generator().manual_seed(sum(shape)), dtype=torch.int32)


@pytest.mark.parametrize("packing", ALL, ids=str)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_every_place_is_its_own_and_comes_back(packing: Packing, shape: tuple[int, int]) -> None:
    """Packed, each of 16 codes at each place is found again; a change of one code changes one nibble."""
    for code in range(16):
        shifted = (codes_of(shape) + code) % 16
        assert torch.equal(packing.unpack(packing.pack(shifted, 0), 0, torch.int8), shifted.to(torch.int8))
    codes = codes_of(shape)
    signed = packing.pack((codes - 8).to(torch.int8), -8)
    assert torch.equal(signed, packing.pack(codes, 0))
    stacked = torch.stack([codes, (codes + 5) % 16])
    assert torch.equal(packing.pack(stacked, 0)[0], packing.pack(codes, 0))
    assert torch.equal(packing.unpack(packing.pack(stacked, 0), 0, torch.int32), stacked)


@pytest.mark.parametrize("capability", ["avx512", "avx2", "default"])
def test_cpu_bytes_are_those_of_aten_under_each_instruction_set(capability: str) -> None:
    """ATEN_CPU_CAPABILITY is read once a process, so each order is asked for in one of its own."""
    here = torch.backends.cpu.get_cpu_capability().lower()
    ladder = ["default", "avx2", "avx512"]
    if here not in ladder or ladder.index(capability) > ladder.index(here):
        pytest.skip(f"{capability} code does not run on this machine, whose capability is {here}")
    script = (
        "import sys, torch\n"
        "for n, k in eval(sys.argv[1]):\n"
        "    w = torch.randint(0, 16, (n, k), generator=torch.Generator().manual_seed(n + k), dtype=torch.int32)\n"
        "    packed = torch.ops.aten._convert_weight_to_int4pack_for_cpu(w, 1)\n"
        "    print(packed.flatten().tolist())\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, repr(SHAPES)],
        env={**os.environ, "ATEN_CPU_CAPABILITY": capability},
        capture_output=True,
        text=True,
        check=True,
    )
    packing = Packing.cpu_int4({"default": "scalar"}.get(capability, capability))
    for shape, line in zip(SHAPES, done.stdout.splitlines(), strict=True):
        assert packing.pack(codes_of(shape), 0).flatten().tolist() == eval(line), shape


@pytest.mark.gpu
@pytest.mark.parametrize("tiles", [2, 4, 8])
def test_tiled_words_are_those_of_aten(tiles: int) -> None:
    for shape in SHAPES:
        codes = codes_of(shape)
        pairs = Packing.nibbles("high_first").pack(codes, 0).cuda()
        golden = torch.ops.aten._convert_weight_to_int4pack(pairs, tiles)
        assert torch.equal(golden.cpu(), Packing.cuda_tiled(tiles).pack(codes, 0))


def test_a_tiled_word_is_spelled_out() -> None:
    """Lane 5 of tile (1, 0) holds row 9; its least nibble column 2, then 10, 18, 26, 3, 11, 19, 27."""
    codes = codes_of((16, 64))
    word = int(Packing.cuda_tiled(4).pack(codes, 0)[1, 0, 5, 0]) % 2**32
    assert [word >> 4 * i & 15 for i in range(8)] == [int(codes[9, k]) for k in (2, 10, 18, 26, 3, 11, 19, 27)]


def test_xpu_words_are_little_endian_nibbles() -> None:
    codes = codes_of((16, 64))
    word = int(Packing.xpu_int4().pack(codes, 0)[3, 2]) % 2**32
    assert [word >> 4 * i & 15 for i in range(8)] == codes[3, 16:24].tolist()


@pytest.mark.parametrize("bits", [2, 4, 8])
def test_words_hold_signed_codes_least_first(bits: int) -> None:
    """Each code at each place is found again, and stands in its own bits of its own word."""
    packing, half, a_word = Packing.u32(bits), 1 << bits - 1, 32 // bits
    codes = (torch.arange(4 * 2**bits * a_word) % (2 * half) - half).to(torch.int8).reshape(4, -1)
    words = packing.pack(codes, -half)
    assert words.shape == (4, codes.shape[1] // a_word)
    assert torch.equal(packing.unpack(words, -half, torch.int8), codes)
    word = int(words[1, 1]) % 2**32
    held = codes[1, a_word : 2 * a_word].tolist()
    assert [(word >> bits * i) % (2 * half) for i in range(a_word)] == [code % (2 * half) for code in held]


def test_scales_and_zeros_interleave() -> None:
    scale, zero_point = torch.rand(6, 4), torch.rand(6, 4)
    both = interleave(scale, zero_point)
    assert both.shape == (4, 6, 2)
    assert both.is_contiguous()
    assert both[3, 5].tolist() == [scale[5, 3].item(), zero_point[5, 3].item()]
    assert all(torch.equal(a, b) for a, b in zip(separate(both), (scale, zero_point), strict=True))
    with pytest.raises(ValueError, match=r"^scale is torch\.float32 .* shape and dtype must agree$"):
        interleave(scale, zero_point.half())


FLOAT = int4_weight_only(group_size=32, scale_dtype="model").weight
SIGNED = replace(int8_dynamic_int4_weight(scale_dtype="model").weight, zero_point_dtype=torch.int8)
BF16, FP16, FP32 = torch.bfloat16, torch.float16, torch.float32
# (packing, scheme, shape, dtype, None or what the sentence says)
TABLE: list[tuple[Packing, TensorScheme, tuple[int, int], torch.dtype, str | None]] = [
    (Packing.nibbles(), SIGNED, (5, 64), FP32, None),
    (Packing.nibbles(), FLOAT, (5, 64), FP16, None),
    (Packing.cpu_int4("avx512"), FLOAT, (16, 64), FP32, None),
    (Packing.cpu_int4("avx2"), FLOAT, (16, 64), BF16, None),
    (Packing.cpu_int4("avx2"), SIGNED, (16, 64), BF16, "zero_point_domain is int; cpu_int4 takes the float domain"),
    (Packing.cpu_int4("avx2"), FLOAT, (8, 64), BF16, "the weight is 8 x 64; cpu_int4 takes a multiple of 16 rows"),
    (
        Packing.cpu_int4("avx2"),
        replace(FLOAT, scale_dtype=FP32),
        (16, 64),
        BF16,
        "its scale torch.float32 and its zero point torch.bfloat16; cpu_int4 takes scale and float zero point in",
    ),
    (Packing.cuda_tiled(2), FLOAT, (8, 64), BF16, None),
    (Packing.cuda_tiled(8), FLOAT, (8, 64), BF16, "8 x 64 and inner_k_tiles 8; cuda_tiled takes a multiple of 8 rows"),
    (Packing.cuda_tiled(2), FLOAT, (8, 64), FP16, "the weight is torch.float16; cuda_tiled takes bfloat16"),
    (Packing.cuda_tiled(2), replace(FLOAT, preserve_zero=True), (8, 64), BF16, "preserve_zero is True; cuda_tiled"),
    (Packing.u32(4), SIGNED, (5, 64), FP32, None),
    (Packing.u32(8), SIGNED, (5, 64), FP32, "from -8 to 7 in 4 bits and fields have 8; u32 takes signed codes of"),
    (Packing.u32(4), FLOAT, (5, 64), FP32, "from 0 to 15 in 4 bits and fields have 4; u32 takes signed codes of"),
    (Packing.u32(4), SIGNED, (5, 36), FP32, "the weight has 36 columns; u32 takes rows that fill whole words"),
    (Packing.xpu_int4(), FLOAT, (8, 64), FP16, None),
    (Packing.xpu_int4(), SIGNED, (8, 64), BF16, None),
    (Packing.xpu_int4(), SIGNED, (8, 64), FP32, "the weight is torch.float32; xpu_int4 takes float16 or bfloat16"),
    (
        Packing.xpu_int4(),
        replace(SIGNED, zero_point_dtype=torch.int32),
        (8, 64),
        BF16,
        "the zero point is torch.int32; xpu_int4 takes an int8",
    ),
]


@pytest.mark.parametrize(("packing", "scheme", "shape", "dtype", "sentence"), TABLE)
def test_which_layout_takes_which_scheme(
    packing: Packing, scheme: TensorScheme, shape: tuple[int, int], dtype: torch.dtype, sentence: str | None
) -> None:
    resolved = scheme.resolved(dtype)
    if sentence is None:
        packing.check(resolved, shape, dtype)
        return
    with pytest.raises(ValueError) as refused:
        packing.check(resolved, shape, dtype)
    assert sentence in str(refused.value)


def test_only_four_bits_and_known_orders() -> None:
    eight = int8_dynamic_int4_weight().activation
    assert eight is not None
    with pytest.raises(ValueError, match=r"^the grid runs from -128 to 127 in 8 bits; nibbles packs 4-bit codes"):
        Packing.nibbles().check(eight.resolved(FP32), (4, 64), FP32)
    with pytest.raises(ValueError, match=r"^cuda_tiled has no order '3'; its orders are '2', '4', '8'$"):
        Packing.cuda_tiled(3)
    assert str(Packing(Layout.XPU_INT4)) == "xpu_int4"
