"""A trace is ordered, finds its stages by name, and refuses what no lane can have produced."""

import pytest
import torch

from parity.record import STAGES
from parity.trace import Stage, Trace


def test_a_trace_keeps_the_order_of_stages_and_finds_them_by_name() -> None:
    every = Trace(
        Stage(name=name, tensor=torch.tensor(float(i)), computed=torch.float64) for i, name in enumerate(STAGES)
    )
    assert every.names == STAGES
    assert every["weight.codes"].tensor.item() == STAGES.index("weight.codes")
    assert every[0] is every["input.scale"]
    assert every[:2] == (every[0], every[1])
    assert Trace().find("output") is None


def test_a_trace_refuses_strange_repeated_and_misplaced_stages_with_a_sentence() -> None:
    x = torch.ones(1)
    with pytest.raises(ValueError, match=r"no stage is called 'weight\.scales'; the stages are: input\.scale, "):
        Stage(name="weight.scales", tensor=x, computed=torch.float32)
    one = Stage(name="output", tensor=x, computed=torch.float32)
    with pytest.raises(ValueError, match="the trace holds stage output twice"):
        Trace([one, one])
    early = Stage(name="input.codes", tensor=x, computed=torch.float32)
    with pytest.raises(ValueError, match=r"holds input\.codes after output; the order is: input\.scale"):
        Trace([one, early])
    with pytest.raises(KeyError, match=r"the trace has no stage 'weight\.codes'; it has: output"):
        Trace([one])["weight.codes"]
