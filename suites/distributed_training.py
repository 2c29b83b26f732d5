"""Three optimizer steps of a small prepared model, alone or as one of two processes that train it together."""

from __future__ import annotations

import copy
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from multiprocessing import get_context
from pathlib import Path

import torch
from torch import Tensor, nn
from torch import distributed as dist

from quant import PerTensor, QuantScheme, convert, prepare, presets
from suites.quant_layers import numbers

PROCESSES = 2
INDICES = torch.tensor([[0, 3, 8], [5, 5, 1]])
GROUPS = presets.int8_dynamic_intx_weight(group_size=8)
SCHEMES: Mapping[str, QuantScheme] = {
    "groups": GROUPS,
    "one scale": replace(GROUPS, weight=replace(GROUPS.weight, granularity=PerTensor())),
}


@dataclass(frozen=True, slots=True)
class Case:
    """A mechanism under a wrapper; `half` trains in bfloat16 beside float32 weights."""

    mechanism: str
    wrapper: str
    scheme: str
    half: bool = False

    def __str__(self) -> str:
        return "-".join((self.mechanism, self.wrapper, self.scheme.replace(" ", "_"), *["bf16"] * self.half))


CASES = tuple(
    Case(mechanism, wrapper, scheme, half)
    for mechanism, wrapper, half in (
        ("module_swap", "ddp", False),
        ("module_swap", "fsdp1", False),
        ("module_swap", "fully_shard", False),
        ("module_swap", "fully_shard", True),
        ("subclass", "ddp", False),
        ("subclass", "fully_shard", False),
        ("subclass", "fully_shard", True),
    )
    for scheme in SCHEMES
)


def float_model() -> nn.Sequential:
    """An Embedding and two Linears; 9 and 5 rows do not divide by two processes."""
    layers = (nn.Embedding(9, 16), nn.Linear(16, 8), nn.Linear(8, 5, bias=False))
    for seed, layer in enumerate(layers):
        for name, parameter in list(layer.named_parameters()):
            setattr(layer, name, nn.Parameter(numbers(tuple(parameter.shape), seed=seed + len(name))))
    return nn.Sequential(layers[0], layers[1], nn.ReLU(), layers[2])


def prepared_model(case: Case) -> nn.Module:
    """The model of a case before anything wraps it."""
    return prepare(float_model(), SCHEMES[case.scheme], mechanism=case.mechanism)


def trained_alone(model: nn.Module, *, half: bool) -> list[Tensor]:
    """Outputs and gradients of three steps, then the weights: one process, in bfloat16 beside the weights if `half`."""
    seen, optimizer = [], torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9)
    for _ in range(3):
        computing = copy.deepcopy(model).to(torch.bfloat16) if half else model
        output = computing(INDICES)
        output.square().sum().backward()
        for parameter, computed in zip(model.parameters(), computing.parameters(), strict=True):
            assert computed.grad is not None
            parameter.grad = computed.grad.to(parameter.dtype)
        seen += [output.detach(), *gradients(model)]
        optimizer.step()
        optimizer.zero_grad()
    return [*seen, *weights(model)]


def trained_together(case: Case) -> list[Tensor]:
    """The same by every process of the group, each with the same batch."""
    model = _wrapped(prepared_model(case), case)
    seen, optimizer = [], torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9)
    for _ in range(3):
        output = model(INDICES)
        output.square().sum().backward()
        seen += [output.detach(), *gradients(model)]
        optimizer.step()
        optimizer.zero_grad()
    return [*seen, *weights(model)]


def gradients(model: nn.Module) -> list[Tensor]:
    """Every gradient, whole."""
    return _whole(model, lambda parameter: parameter.grad)


def weights(model: nn.Module) -> list[Tensor]:
    """Every Parameter, whole and plain."""
    return _whole(model, lambda parameter: parameter.detach())


def _whole(model: nn.Module, part: Callable[[nn.Parameter], Tensor | None]) -> list[Tensor]:
    if "FullyShardedDataParallel" in type(model).__name__:
        from torch.distributed.fsdp import FullyShardedDataParallel

        with FullyShardedDataParallel.summon_full_params(model, with_grads=True):
            return [_plain(part(parameter)) for parameter in model.parameters()]
    return [_plain(part(parameter)) for parameter in model.parameters()]


def _plain(tensor: Tensor | None) -> Tensor:
    assert tensor is not None
    whole: Tensor = tensor.full_tensor() if hasattr(tensor, "full_tensor") else tensor
    plain: Tensor = getattr(whole, "original", whole)
    return plain.clone()


def _wrapped(model: nn.Module, case: Case) -> nn.Module:
    from torch.distributed.fsdp import FullyShardedDataParallel, MixedPrecisionPolicy, fully_shard

    if case.wrapper == "ddp":
        return nn.parallel.DistributedDataParallel(model)
    if case.wrapper == "fsdp1":
        return FullyShardedDataParallel(model, device_id=torch.device("cpu"), use_orig_params=True)
    policy = MixedPrecisionPolicy(param_dtype=torch.bfloat16) if case.half else MixedPrecisionPolicy()
    for layer in (model[0], model[3], model):  # type: ignore[index]  # a Sequential; its second layer shards with it
        fully_shard(layer, mp_policy=policy)
    return model


def gathered(case: Case) -> dict[str, Tensor]:
    """The whole checkpoint of a model that fully_shard trains: what is converted afterwards, in one process."""
    from torch.distributed.checkpoint.state_dict import StateDictOptions, get_model_state_dict

    model = _wrapped(prepared_model(case), case)
    model(INDICES).square().sum().backward()
    torch.optim.SGD(model.parameters(), lr=0.05).step()
    state = get_model_state_dict(model, options=StateDictOptions(full_state_dict=True, cpu_offload=True))
    return {name: _plain(value) for name, value in state.items()}


def refusal_of_convert() -> str:
    """What convert says of a model whose Parameters are sharded."""
    case = Case("subclass", "fully_shard", "groups")
    try:
        convert(_wrapped(prepared_model(case), case))
    except ValueError as error:
        return str(error)
    return "nothing"


def refusal_of_fsdp1() -> str:
    """What a model prepared by subclass says under FullyShardedDataParallel, at its first forward pass."""
    model = _wrapped(prepared_model(Case("subclass", "fsdp1", "groups")), Case("subclass", "fsdp1", "groups"))
    try:
        model(INDICES)
    except ValueError as error:
        return str(error)
    return "nothing"


def main(rank: int, folder: Path) -> None:
    """One of the processes: run every case, and leave what it saw in the folder."""
    torch.set_num_threads(1)
    meeting = f"file://{folder / 'meeting'}"
    dist.init_process_group("gloo", init_method=meeting, rank=rank, world_size=PROCESSES)
    seen: dict[str, object] = {str(case): trained_together(case) for case in CASES}
    for mechanism in ("module_swap", "subclass"):
        seen[f"gathered {mechanism}"] = gathered(Case(mechanism, "fully_shard", "groups"))
    seen["refusal"], seen["sharded"] = refusal_of_fsdp1(), refusal_of_convert()
    torch.save(seen, folder / f"{rank}.pt")
    dist.barrier()
    dist.destroy_process_group()


if __name__ == "__main__":
    import torch.distributed.fsdp  # before the fork: the compiler comes along with it, and takes seconds

    forked = [get_context("fork").Process(target=main, args=(rank, Path(sys.argv[1]))) for rank in range(PROCESSES)]
    for process in forked:
        process.start()
    for process in forked:
        process.join()
    sys.exit(max(abs(process.exitcode or 0) for process in forked))
