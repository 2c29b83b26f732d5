"""Two processes train a prepared model to the bits of one, under DDP, FSDP1 and fully_shard, by either mechanism."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from suites.directed_groups import same_bits
from suites.distributed_training import CASES, PROCESSES, Case, float_model, prepared_model, trained_alone

HOUSE = Path(__file__).resolve().parent.parent
Seen = list[dict[str, Any]]


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> Seen:
    """What either process saw: both are started once, run every case, and are forks of one that has no threads yet."""
    folder = tmp_path_factory.mktemp("processes")
    command = [sys.executable, "-W", "ignore", "-m", "suites.distributed_training", str(folder)]
    ran = subprocess.run(command, cwd=HOUSE, stderr=subprocess.PIPE, text=True, timeout=240)
    assert ran.returncode == 0, ran.stderr
    return [torch.load(folder / f"{rank}.pt") for rank in range(PROCESSES)]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_two_processes_train_to_the_bits_of_one(case: Case, seen: Seen) -> None:
    """Outputs and gradients of three steps, and the weights after them, on both ranks."""
    alone = trained_alone(prepared_model(case), half=case.half)
    for rank in range(PROCESSES):
        together = seen[rank][str(case)]
        assert len(together) == len(alone)
        assert [
            i for i, (one, other) in enumerate(zip(alone, together, strict=True)) if not same_bits(one, other)
        ] == []


@pytest.mark.parametrize("case", [case for case in CASES if case.wrapper == "ddp"], ids=str)
def test_the_reference_is_quantized(case: Case) -> None:
    quantized, unquantized = trained_alone(prepared_model(case), half=False), trained_alone(float_model(), half=False)
    assert not same_bits(quantized[0], unquantized[0])


def test_wrapped_weights_refuse_fsdp1(seen: Seen) -> None:
    for rank in range(PROCESSES):
        assert "FullyShardedDataParallel flattens Parameters" in seen[rank]["refusal"]
        assert "which nothing quantizes" in seen[rank]["refusal"]
