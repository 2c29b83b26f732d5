"""prove(claim) = the proof, or the refutation with its count and a witness, from every operand of the claim."""

from __future__ import annotations

from datetime import UTC, datetime
from time import perf_counter

import torch

from kernels.availability import missing
from parity.bits import dtype_name
from parity.environment import environment
from parity.proof import Proof, Witness
from parity.proving.block import BLOCK, Space, told
from parity.proving.claim import Claim, Step
from parity.proving.counter import Counter, LanesCounter, Tally
from parity.proving.declaration import Declaration
from parity.proving.fused import DEVICE, FusedCounter
from parity.proving.grid import Grid
from parity.proving.lane import ROUND_TRIP, Lane, Results, lane_of, unlike
from parity.proving.operands import infinite_reciprocals
from parity.proving.oracle_counter import oracle_counter
from parity.proving.party import Party, Path
from parity.proving.space import space_of
from parity.proving.sweep import Progress, swept

_NAMES = {
    Step.QUANTIZE: ("codes",),
    Step.FAKE_QUANTIZE: ("dequantized",),
    Step.DEQUANTIZE: ("dequantized",),
    Step.CHOOSE_QPARAMS: ("scale", "zero_point"),
    Step.ROUND_TRIP: ROUND_TRIP,
}


def prove(
    claim: Claim,
    *,
    device: str = "cpu",
    counter: Counter | None = None,
    workers: int | None = None,
    progress: Progress | None = None,
) -> Proof:
    """Run the claim's lanes on all its operands and compare every bit of what they return.

    counter = another way to count, such as a device's own kernel; workers = threads. Raises ValueError for rules that
    need more than a scale and a zero point, and for a claim about the oracle that no lemma covers.
    """
    counter = counter_for(claim, device) if counter is None else counter
    space = space_of(claim, device.partition(":")[0])
    began = perf_counter()
    with torch.no_grad():
        tally = swept(counter, range(space.slices), workers, progress)
        witness = None if not tally.differing else _witness(claim, space, min(tally.differing)[0])
    return Proof(
        claim=claim.id,
        step=claim.step,
        a=claim.a.name,
        b=claim.b.name,
        dtype=dtype_name(claim.torch_dtype),
        scale_dtype=dtype_name(claim.scale_dtype),
        zero_point_domain=claim.domain,
        bits=claim.bits,
        domain=space.sentence,
        not_covered=space.not_covered,
        method=counter.method,
        pairs=tally.pairs,
        n_different=tally.n_different,
        parts=_parts(space, tally),
        witness=witness,
        device=counter.device,
        seconds=round(perf_counter() - began, 3),
        environment=environment(),
        made=datetime.now(UTC).isoformat(timespec="seconds"),
    )


def counter_for(claim: Claim, device: str = "cpu") -> Counter:
    """The counter that runs the claim's lanes eagerly on a device, or the fused kernel for "cuda:triton"."""
    if device == DEVICE:
        return FusedCounter.of(claim)
    if device not in BLOCK:
        raise ValueError(f"the device is {device!r}; lanes are run on {', '.join([*BLOCK, DEVICE])}")
    reason = missing(device)
    if reason is not None:
        raise ValueError(f"{reason}; use --device cpu")
    return oracle_counter(claim, device) if claim.b.path is Path.ORACLE else LanesCounter.of(claim, device)


def _witness(claim: Claim, space: Space, chosen: int) -> Witness:
    """The first operand of a slice on which the parties part, told from running both once more."""
    lanes = _party_lane(claim, claim.a), _party_lane(claim, claim.b)
    for block in space.blocks(range(chosen, chosen + 1)):
        results = [tuple(stage.cpu() for stage in lane(block)) for lane in lanes]
        mask = unlike(*results)
        if mask is not None:
            row, column = mask.nonzero()[0].tolist()
            a, b = (_results(claim.step, result, row, column) for result in results)
            return Witness(operands=space.operands(block, (row, column)), a=a, b=b)
    raise AssertionError(f"slice {chosen} of {claim.id} differed once and does not again")


def _party_lane(claim: Claim, party: Party) -> Lane:
    return Declaration.of(claim) if party.path is Path.ORACLE else lane_of(claim, party)


def _results(step: Step, results: Results, row: int, column: int) -> dict[str, str]:
    return {name: told(stage[row, column].item()) for name, stage in zip(_NAMES[step], results, strict=False)}


def _parts(space: Space, tally: Tally) -> tuple[tuple[str, int], ...]:
    """Of the differing operands, those at scales whose reciprocal is beyond a dtype that it may be rounded to."""
    if not isinstance(space, Grid) or space.claim.step is Step.DEQUANTIZE:
        return ()
    parts: list[tuple[str, int]] = []
    for dtype in dict.fromkeys((torch.float32, space.claim.scale_dtype)):
        infinite = infinite_reciprocals(space.scales.cpu(), dtype)
        count = sum(n for i, n in tally.differing if infinite[i])
        if count and (not parts or count != parts[-1][1]):
            parts.append((f"1/scale overflows {dtype_name(dtype)}", count))
    return tuple(parts)
