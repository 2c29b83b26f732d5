"""torch.compile of functions of quantized tensors: the same kinds, schemes and bits as without it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from torch import nn
from torch.utils._pytree import tree_leaves

from quant import PerGroup, PerTensor, Propagation, QuantizedTensor, QuantScheme
from quant.burn import BlockLevel, Value, burn_3042, burn_head_ndarray
from quant.quantized_tensor import BURN_3042, BURN_HEAD, ENGINE, Contract
from suites.directed_groups import same_bits
from suites.quant_layers import layer_scheme, numbers

X = numbers((3, 16), seed=7)
FUNCTIONS: dict[str, Callable[[QuantizedTensor, QuantizedTensor], Any]] = {
    "layout": lambda q, p: (q.t(), q.flip(0), q[1:3], q.reshape(8, 8), q.unsqueeze(0)),
    "selection": lambda q, p: (torch.cat([q, p]), q.abs(), q.repeat(2, 1), q.sort(1)),
    "computing": lambda q, p: (q + p, q * 2, -q, q.clamp(-0.5, 0.5)),
    "products": lambda q, p: (q @ p.t(), X @ q.t(), nn.functional.linear(X, q)),
    "plain": lambda q, p: (q.argmax(1), q > p, torch.where(q > 0, q, p), q.dequantize() + 1),
}
SUBJECTS: dict[str, tuple[QuantScheme, Contract]] = {
    "engine": (layer_scheme(granularity=PerTensor()), ENGINE),
    "groups": (layer_scheme(granularity=PerGroup(8)), ENGINE),
    "burn_3042": (burn_3042(propagation=Propagation.PROPAGATE), BURN_3042),
    "burn_head_ndarray": (burn_head_ndarray(Value.Q8S, level=BlockLevel((8,))), BURN_HEAD),
}


@pytest.fixture(autouse=True)
def _forgotten() -> Iterator[None]:
    torch._dynamo.reset()
    yield
    torch._dynamo.reset()


def pair(name: str) -> tuple[QuantizedTensor, QuantizedTensor]:
    scheme, contract = SUBJECTS[name]
    q, p = (QuantizedTensor.from_float(numbers((4, 16), seed=seed), scheme, contract) for seed in (0, 1))
    return q, p


def expect_equal(compiled: Any, eager: Any) -> None:
    for leaf, own in zip(tree_leaves(compiled), tree_leaves(eager), strict=True):
        assert type(leaf) is type(own)
        if isinstance(own, QuantizedTensor):
            assert leaf.described == own.described
            assert all(same_bits(mine, its) for mine, its in zip(leaf.parts(), own.parts(), strict=True))
        else:
            assert same_bits(leaf, own)


EVERY = [(name, subject) for subject in SUBJECTS for name in FUNCTIONS]
OFTEN = [("layout", "engine"), ("products", "engine")]


@pytest.mark.parametrize(
    ("name", "subject"),
    [*OFTEN, *(pytest.param(*each, marks=pytest.mark.nightly) for each in EVERY if each not in OFTEN)],
)
def test_traced_functions_are_themselves(name: str, subject: str) -> None:
    """Through the tracers, without a code generator; in one graph where there is one scale and no NaN is refused."""
    q, p = pair(subject)
    in_one = subject == "engine" or (subject == "groups" and name not in ("layout", "products"))
    compiled = torch.compile(FUNCTIONS[name], backend="aot_eager", fullgraph=in_one)
    expect_equal(compiled(q, p), FUNCTIONS[name](q, p))


@pytest.mark.nightly
@pytest.mark.filterwarnings("ignore:.*script_method:DeprecationWarning")  # torch's own, on importing inductor
@pytest.mark.parametrize("name", FUNCTIONS)
def test_generated_code_has_the_same_bits(name: str) -> None:
    q, p = pair("engine")
    expect_equal(torch.compile(FUNCTIONS[name], fullgraph=True)(q, p), FUNCTIONS[name](q, p))


def test_a_graph_that_would_have_to_read_numbers_is_refused() -> None:
    """Where the blocks went is read off the groups of each element; without fullgraph, that one operation runs."""
    q, _ = pair("groups")
    with pytest.raises(torch._dynamo.exc.UserError, match="data-dependent"):
        torch.compile(lambda q: q.flip(0), backend="aot_eager", fullgraph=True)(q)
