"""Fake-quantize on the CPU, fused, beside a copy and torchao's, compiled: `python -m benchmarks.cpu_fake_quantize`.

A 2048x2048 tensor on two threads, int4 in groups of 32 and int8 per token. The peer is torch.compile of torchao's
choose_qparams and fake_quantize with precision casts emulated, without which its bits are not those of its eager code.
Both are first held against their own eager code, bit for bit; the peer's int4 parts there in the sign of zeros, since
the compiler leaves out the addition of a zero point that is 0. Times are medians over rounds in which all are timed in
turn, so that a slow spell of the machine touches all of them: the ratios are steadier than the times.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass

import torch
from torch import Tensor
from torchao.quantization.quant_primitives import MappingType, _fake_quantize_affine, choose_qparams_affine

import quant
from parity.environment import environment
from quant.compiled_rows import FusedWarning
from quant.presets import int8_dynamic_int4_weight
from suites.directed_groups import same_bits

SIDE = 2048
GROUP = 32
DTYPES = (torch.float32, torch.bfloat16, torch.float16)


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """Microseconds of ours, of its compiled peer and of a copy; the ratios are ours / copy and ours / peer."""

    what: str
    dtype: str
    ours_us: float
    peer_us: float
    copy_us: float
    to_copy: float
    to_peer: float
    bit_equal: bool
    peer_bit_equal: bool


def torchao_int4(x: Tensor) -> Tensor:
    """torchao's symmetric int4 in groups, its scales in x's dtype."""
    scale, zero_point = choose_qparams_affine(
        x, MappingType.SYMMETRIC, (1, GROUP), torch.int8, -8, 7, scale_dtype=x.dtype, zero_point_dtype=torch.int32
    )
    return _fake_quantize_affine(x, (1, GROUP), scale, zero_point, torch.int8, -8, 7)


def torchao_int8(x: Tensor) -> Tensor:
    """torchao's asymmetric int8 per token, its scales in x's dtype."""
    block = (1, x.shape[-1])
    scale, zero_point = choose_qparams_affine(
        x, MappingType.ASYMMETRIC, block, torch.int8, -128, 127, scale_dtype=x.dtype, zero_point_dtype=torch.int8
    )
    return _fake_quantize_affine(x, block, scale, zero_point, torch.int8, -128, 127)


def microseconds(functions: dict[str, Callable[[], object]], rounds: int) -> dict[str, float]:
    """Median time of each, taken in turns, after warming up."""
    taken: dict[str, list[float]] = {name: [] for name in functions}
    for round_ in range(-3, rounds):
        for name, function in functions.items():
            began = time.perf_counter()
            function()
            if round_ >= 0:
                taken[name].append((time.perf_counter() - began) * 1e6)
    return {name: statistics.median(times) for name, times in taken.items()}


def figures(rounds: int) -> Iterator[Figure]:
    """One for each scheme and dtype."""
    preset = int8_dynamic_int4_weight(group_size=GROUP)
    assert preset.activation is not None
    schemes = (("int4 g=32", preset.weight, torchao_int4), ("int8 per token", preset.activation, torchao_int8))
    for what, scheme, torchao in schemes:
        for dtype in DTYPES:
            x = torch.randn(SIDE, SIDE, generator=torch.Generator().manual_seed(0)).to(dtype)
            target = torch.empty_like(x)
            torch.compiler.reset()
            peer = torch.compile(torchao, fullgraph=True, dynamic=False, options={"emulate_precision_casts": True})

            def ours(x: Tensor = x, scheme: quant.TensorScheme = scheme) -> Tensor:
                with quant.fused():
                    return quant.fake_quantize(x, scheme)

            functions: dict[str, Callable[[], object]] = {
                "ours": ours,
                "peer": lambda x=x, peer=peer: peer(x),
                "copy": lambda x=x, target=target: target.copy_(x),
            }
            equal = same_bits(ours(), quant.fake_quantize(x, scheme))
            peer_equal = same_bits(peer(x), torchao(x))
            times = microseconds(functions, rounds)
            yield Figure(
                what=f"{what}, {SIDE}x{SIDE}",
                dtype=str(dtype),
                ours_us=times["ours"],
                peer_us=times["peer"],
                copy_us=times["copy"],
                to_copy=times["ours"] / times["copy"],
                to_peer=times["ours"] / times["peer"],
                bit_equal=equal,
                peer_bit_equal=peer_equal,
            )


def main() -> None:
    """Print a row for each scheme and dtype, or all of them with their environment as JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--rounds", type=int, default=50)
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    warnings.simplefilter("ignore")  # the compiler's own, about its own use of torch
    warnings.simplefilter("error", FusedWarning)  # a plain path would be timed in place of the fused one
    found = []
    if not arguments.json:
        head = f"{'ours us':>9}{'peer us':>9}{'copy us':>9}{'/ copy':>8}{'/ peer':>8}"
        print(f"{'':26}{'dtype':16}{head}  bit-equal, and the peer")
    with torch.no_grad():
        for figure in figures(arguments.rounds):
            found.append(figure)
            if not arguments.json:
                print(
                    f"{figure.what:26}{figure.dtype:16}{figure.ours_us:9.0f}{figure.peer_us:9.0f}{figure.copy_us:9.0f}"
                    f"{figure.to_copy:8.2f}{figure.to_peer:8.2f}  {figure.bit_equal}, {figure.peer_bit_equal}",
                    flush=True,
                )
    if arguments.json:
        measured = environment()
        record = {"setting": measured.setting, "subject": measured.subject, "figures": [asdict(f) for f in found]}
        print(json.dumps(record, indent=1))


if __name__ == "__main__":
    main()
