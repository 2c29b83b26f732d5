"""Training through quantization: a float model, its PTQ, and QAT from there, at few bits.

    python -m benchmarks.training [--steps 300] [--qat-steps 200] [--mechanism subclass]

Every row is a scheme: the loss of the float model quantized at once, and of the one that trained on through fake
quantization and was converted. `bits kept` counts the outputs of the converted model that equal those of the prepared
one in eval mode, bit for bit: all of them, or the command fails.
"""

import argparse
import copy
import sys
import time

import torch

from parity.bits import bits
from quant import Mechanism, QuantScheme, convert, prepare, presets, quantize_
from suites.small_transformer import CONTEXT, Language, Transformer, evaluated, train

SCHEMES: dict[str, QuantScheme] = {
    "weights 3 bits": presets.intx_weight_only(bits=3, group_size=32),
    "weights 2 bits": presets.intx_weight_only(bits=2, group_size=32),
    "8da4w": presets.int8_dynamic_int4_weight(group_size=32),
    "8da2w": presets.int8_dynamic_intx_weight(bits=2, group_size=32),
}


def main() -> None:
    """Train once in float, then print a row for each scheme."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=300, help="of the float model")
    parser.add_argument("--qat-steps", type=int, default=200, help="of each prepared model")
    parser.add_argument("--mechanism", choices=[*Mechanism], default=Mechanism.MODULE_SWAP, help="how prepare works")
    given = parser.parse_args()
    torch.set_num_threads(1)
    language = Language.invented()
    seen, unseen = language.text(20_000, seed=1), language.text(1_000, seed=2)
    model = Transformer()
    train(model, seen, given.steps, rate=3e-3)
    further = copy.deepcopy(model)
    train(further, seen, given.qat_steps, rate=1e-3, seed=2)
    print(f"float {evaluated(model, unseen):.3f}, and trained on {evaluated(further, unseen):.3f} nats a letter")
    print(f"{'scheme':16}{'PTQ':>8}{'QAT':>8}{'bits kept':>16}{'s':>6}")
    windows = unseen[: 64 * CONTEXT].reshape(64, CONTEXT)
    broken = 0
    for name, scheme in SCHEMES.items():
        began = time.perf_counter()
        at_once = evaluated(quantize_(copy.deepcopy(model), scheme), unseen)
        prepared = prepare(copy.deepcopy(model), scheme, mechanism=given.mechanism)
        train(prepared, seen, given.qat_steps, rate=1e-3, seed=2)
        with torch.no_grad():
            fake = prepared.eval()(windows)
            converted = convert(prepared)
            stored = converted(windows)
        kept = int((bits(fake) == bits(stored)).sum())
        broken += fake.numel() - kept
        trained = evaluated(converted, unseen)
        share = f"{kept:,} of {fake.numel():,}"
        print(f"{name:16}{at_once:8.3f}{trained:8.3f}{share:>20}{time.perf_counter() - began:6.0f}", flush=True)
    sys.exit(1 if broken else 0)


if __name__ == "__main__":
    main()
