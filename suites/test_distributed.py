"""Two processes train a prepared model to the bits of one, under DDP, FSDP1 and fully_shard, by either mechanism."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from quant import Mechanism, convert
from suites.directed_groups import same_bits
from suites.distributed_training import CASES, INDICES, PROCESSES, Case, float_model, prepared_model, trained_alone

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


@pytest.mark.parametrize("mechanism", Mechanism)
def test_what_was_trained_in_shards_converts_from_its_checkpoint(mechanism: str, seen: Seen) -> None:
    """The gathered state dict, in a prepared model of one process: the codes of a model that trained there."""
    case = Case(mechanism, "fully_shard", "groups")
    alone, loaded = prepared_model(case), prepared_model(case)
    alone(INDICES).square().sum().backward()
    torch.optim.SGD(alone.parameters(), lr=0.05).step()
    loaded.load_state_dict(seen[0][f"gathered {mechanism}"])
    expected, found = convert(alone).state_dict(), convert(loaded).state_dict()
    assert [name for name, value in expected.items() if not same_bits(value, found[name])] == []


def test_sharded_parameters_are_not_converted(seen: Seen) -> None:
    for rank in range(PROCESSES):
        assert "0.weight is sharded over processes" in seen[rank]["sharded"]


def test_wrapped_weights_refuse_fsdp1(seen: Seen) -> None:
    for rank in range(PROCESSES):
        assert "FullyShardedDataParallel flattens Parameters" in seen[rank]["refusal"]
        assert "which nothing quantizes" in seen[rank]["refusal"]
