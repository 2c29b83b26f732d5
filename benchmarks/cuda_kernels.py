"""The CUDA kernels against their peers, side by side: `python -m benchmarks.cuda_kernels [--out FILE.json]`.

Every figure is a ratio to something timed in the same run, in turns: a device copy of the same bytes, torch's own way,
float64. Times are the device's: the launches of one call are queued behind a pause, so that Python costs nothing.
What is timed is first compared bit for bit with the plain path on CPU.
"""

from __future__ import annotations

import argparse
import json
import statistics
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

import torch
from torch import Tensor

import quant
from kernels import exact_product, sequential_product
from kernels.bit_difference import bit_difference
from kernels.bit_difference_triton import counts
from kernels.int4_matmul_triton import int4_matmul
from kernels.int4_tiles import half_width, pack_tiles
from kernels.pair_proof_triton import CodeRule, Quotient, count_pairs
from parity.bits import bits_line
from parity.environment import environment
from quant import TensorScheme
from quant.presets import int8_dynamic_int4_weight

SIDE = 8192
PAUSE = 2_000_000  # cycles, about a millisecond
DTYPES = (torch.bfloat16, torch.float16, torch.float32)


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """One comparison: microseconds of ours and of its peer, and peer / ours, or the share of a bandwidth."""

    what: str
    dtype: str
    ours_us: float
    peer: str
    peer_us: float
    ratio: float
    bit_equal: bool | None
    note: str = ""


def microseconds(functions: dict[str, Callable[[], object]], repeats: int = 40) -> dict[str, float]:
    """Median device time of each, taken in turns, after warming up."""
    for function in functions.values():
        for _ in range(3):
            function()
    taken: dict[str, list[float]] = {name: [] for name in functions}
    for _ in range(repeats):
        for name, function in functions.items():
            start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
            torch.cuda.synchronize()
            torch.cuda._sleep(PAUSE)
            start.record()
            function()
            end.record()
            torch.cuda.synchronize()
            taken[name].append(start.elapsed_time(end) * 1000)
    return {name: statistics.median(times) for name, times in taken.items()}


def bits(x: Tensor) -> Tensor:
    """x as integers of its width."""
    return x.view(torch.int16 if x.element_size() == 2 else torch.int32)


def random(*shape: int, dtype: torch.dtype, seed: int = 0) -> Tensor:
    """Normal values on the device; what they are matters to no figure."""
    return torch.randn(shape, device="cuda", generator=torch.Generator("cuda").manual_seed(seed)).to(dtype)


def fake_quantize() -> Iterator[Figure]:
    """Fake-quantize against a device copy of the same tensor, torch's eager way and torch.compile."""
    preset = int8_dynamic_int4_weight()
    assert preset.activation is not None
    for what, scheme in (("int4 g=32", preset.weight), ("int8 per token", preset.activation)):
        for dtype in DTYPES:
            x = random(SIDE, SIDE, dtype=dtype)
            target = torch.empty_like(x)

            def ours(x: Tensor = x, scheme: TensorScheme = scheme) -> Tensor:
                with quant.fused():
                    return quant.fake_quantize(x, scheme)

            def eager(x: Tensor = x, scheme: TensorScheme = scheme) -> Tensor:
                return quant.fake_quantize(x, scheme)

            def copy(x: Tensor = x, target: Tensor = target) -> Tensor:
                return target.copy_(x)

            equal = torch.equal(bits(ours().cpu()), bits(quant.fake_quantize(x.cpu(), scheme)))
            times = microseconds({"ours": ours, "copy": copy})
            times |= microseconds({"eager": eager}, repeats=5)
            for peer in ("copy", "eager"):
                yield Figure(
                    what=f"fake-quantize {what}, {SIDE}x{SIDE}",
                    dtype=str(dtype),
                    ours_us=times["ours"],
                    peer="device copy" if peer == "copy" else "the engine, eager",
                    peer_us=times[peer],
                    ratio=times[peer] / times["ours"],
                    bit_equal=equal,
                )


def bit_diff() -> Iterator[Figure]:
    """The bit diff against a device copy, torch.equal, and counting with plain torch."""
    for dtype in (torch.bfloat16, torch.float32):
        for share in (0.0, 0.001, 1.0):
            a = random(SIDE, SIDE, dtype=dtype)
            changed = (
                random(SIDE, SIDE, dtype=torch.float32, seed=1).abs() < {0.0: -1.0, 0.001: 0.00125, 1.0: 99.0}[share]
            )
            b = torch.where(changed, bits(a) ^ 3, bits(a)).view(dtype)
            target = torch.empty_like(a)
            peers: dict[str, Callable[[], object]] = {
                "device copy": lambda target=target, a=a: target.copy_(a),
                "torch.equal": lambda a=a, b=b: torch.equal(bits(a), bits(b)),
                "torch, count and max": lambda a=a, b=b: (
                    (bits(a) != bits(b)).sum(),
                    (bits(a).int() - bits(b).int()).abs().max(),
                ),
            }
            line = bits_line(dtype)
            equal = bit_difference(bits(a), bits(b), line) == bit_difference(bits(a).cpu(), bits(b).cpu(), line)
            ours = partial(counts, bits(a).flatten(), bits(b).flatten(), line)
            times = microseconds({"ours": ours, **peers}, repeats=20)
            for peer in peers:
                yield Figure(
                    what=f"bit diff of two {SIDE}x{SIDE}, {share:.1%} of the elements differ",
                    dtype=str(dtype),
                    ours_us=times["ours"],
                    peer=peer,
                    peer_us=times[peer],
                    ratio=times[peer] / times["ours"],
                    bit_equal=equal,
                )


def proof() -> Iterator[Figure]:
    """x * (1/s) for x / s over every pair of bf16: the count is known."""
    patterns = torch.arange(65536, dtype=torch.int32, device="cuda").to(torch.int16).view(torch.bfloat16)
    inputs = patterns[patterns.isfinite()].contiguous()
    scales = inputs[inputs > 0].contiguous()
    reciprocal = CodeRule(quotient=Quotient.RECIPROCAL_FLOAT32)

    def ours() -> tuple[int, tuple[int, int] | None]:
        return count_pairs(inputs, scales, CodeRule(), reciprocal, zero_point=0, qmin=-8, qmax=7, nan_code=99.0)

    n, witness = ours()
    assert witness is not None
    x, s = inputs[witness[0]].item(), scales[witness[1]].item()
    times = microseconds({"ours": ours}, repeats=10)
    yield Figure(
        what=f"proof over {inputs.numel() * scales.numel():,} pairs, x*(1/s) for x/s",
        dtype="torch.bfloat16",
        ours_us=times["ours"],
        peer="10 ms",
        peer_us=10_000.0,
        ratio=10_000.0 / times["ours"],
        bit_equal=None,
        note=f"{n:,} pairs differ; x={x.hex()}, s={s.hex()}",
    )


def exact() -> Iterator[Figure]:
    """The exact product against plain float64 with conversion, and against the native product."""
    for dtype in (torch.bfloat16, torch.float32):
        x, w = random(256, 4096, dtype=dtype), random(4096, 4096, dtype=dtype, seed=1)
        x64, w64 = x.double(), w.double()
        product = exact_product(x, w, None, dtype)
        on_cpu = exact_product(x.cpu(), w.cpu(), None, dtype)
        peers: dict[str, Callable[[], object]] = {
            "float64 with conversion": lambda x=x, w=w, dtype=dtype: (x.double() @ w.double().T).to(dtype),
            "float64, the product alone": lambda x64=x64, w64=w64: x64 @ w64.T,
            "native": lambda x=x, w=w: x @ w.T,
        }
        times = microseconds(
            {"ours": lambda x=x, w=w, dtype=dtype: exact_product(x, w, None, dtype), **peers}, repeats=20
        )
        for peer in peers:
            yield Figure(
                what="exact product 256x4096x4096",
                dtype=str(dtype),
                ours_us=times["ours"],
                peer=peer,
                peer_us=times[peer],
                ratio=times[peer] / times["ours"],
                bit_equal=torch.equal(bits(product.value.cpu()), bits(on_cpu.value)),
                note=f"{product.certified / product.value.numel():.4%} certified by one product",
            )


def sequential() -> Iterator[Figure]:
    """The product of one accumulator an output, k ascending, against the library's, of no stated order."""
    x, w = random(256, 4096, dtype=torch.float32), random(4096, 4096, dtype=torch.float32, seed=1)
    few = slice(None, 8)
    for fused in (True, False):
        ours = partial(sequential_product, accumulate_dtype=torch.float32, fused=fused, out_dtype=torch.float32)
        times = microseconds({"ours": partial(ours, x, w), "native": lambda: x @ w.T}, repeats=10)
        yield Figure(
            what=f"sequential product 256x4096x4096, {'fused' if fused else 'unfused'} steps",
            dtype="torch.float32",
            ours_us=times["ours"],
            peer="native",
            peer_us=times["native"],
            ratio=times["native"] / times["ours"],
            bit_equal=torch.equal(bits(ours(x, w)[few, few].cpu()), bits(ours(x[few].cpu(), w[few].cpu()))),
            note="eight rows and columns are compared",
        )


def int4() -> Iterator[Figure]:
    """The packed int4 product against ATen's and the bfloat16 product, for three batches of one weight."""
    group = 128
    codes = torch.randint(0, 16, (SIDE, SIDE), device="cuda", dtype=torch.int32)
    scale = random(SIDE // group, SIDE, dtype=torch.float32).abs().mul(0.01).add(1e-3).bfloat16()
    zero_point = random(SIDE // group, SIDE, dtype=torch.float32, seed=2).mul(0.05).bfloat16()
    tiles = pack_tiles(codes, half_width(group))
    pairs = (codes[:, ::2] << 4 | codes[:, 1::2]).to(torch.uint8)
    aten = torch.ops.aten._convert_weight_to_int4pack(pairs, 8)
    both = torch.stack((scale, zero_point), dim=-1).contiguous()
    spread_s, spread_z = (t.T.repeat_interleave(group, dim=1) for t in (scale, zero_point))
    weight = (codes.double().sub(8) * spread_s.double() + spread_z.double()).float().bfloat16()
    x = random(256, SIDE, dtype=torch.bfloat16, seed=3)
    largest = int4_matmul(x, tiles, scale, zero_point, float_domain=True)
    for m in (1, 16, 256):
        rows = x[:m].contiguous()
        ours = partial(int4_matmul, rows, tiles, scale, zero_point, float_domain=True)
        peers: dict[str, Callable[[], object]] = {
            "ATen's int4": lambda rows=rows: torch.ops.aten._weight_int4pack_mm(rows, aten, group, both),
            "bfloat16": lambda rows=rows: rows @ weight.T,
        }
        invariant = torch.equal(bits(ours()), bits(largest[:m])) and torch.equal(bits(ours()), bits(ours()))
        times = microseconds({"ours": ours, **peers})
        for peer in peers:
            yield Figure(
                what=f"int4 product, {SIDE}x{SIDE}, g={group}, M={m}",
                dtype="torch.bfloat16",
                ours_us=times["ours"],
                peer=peer,
                peer_us=times[peer],
                ratio=times[peer] / times["ours"],
                bit_equal=invariant,
                note="equal to its rows of M=256, and run twice",
            )


def main() -> None:
    """Print a row for each comparison, and write them with their environment."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path)
    parser.add_argument("--only", nargs="*", default=list(PARTS), choices=list(PARTS))
    arguments = parser.parse_args()
    figures = []
    for name in arguments.only:
        for figure in PARTS[name]():
            figures.append(figure)
            print(
                f"{figure.what:60} {figure.dtype:15} {figure.ours_us:9.1f} us, {figure.peer} {figure.peer_us:.1f} us: "
                f"{figure.ratio:.3f}  bit-equal {figure.bit_equal} {figure.note}",
                flush=True,
            )
    if arguments.out is not None:
        measured = environment()
        record = {"setting": measured.setting, "subject": measured.subject, "figures": [asdict(f) for f in figures]}
        arguments.out.write_text(json.dumps(record, indent=1) + "\n")


PARTS: dict[str, Callable[[], Iterator[Figure]]] = {
    "fake_quantize": fake_quantize,
    "bit_diff": bit_diff,
    "proof": proof,
    "exact": exact,
    "sequential": sequential,
    "int4": int4,
}

if __name__ == "__main__":
    main()
