"""parity.compare shows where two lanes part, on a tensor, a layer and a model, for backends nobody has registered."""

from __future__ import annotations

import copy
import re
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

import parity
from parity.backends.engine import EngineBackend
from parity.lanes import Flow, Lane
from parity.sentence import sentence
from parity.trace import Stage, Trace
from parity.verdicts import Outcome, Verdict
from quant import QuantScheme, choose_qparams
from quant.presets import int8_dynamic_intx_weight, intx_weight_only

SCHEME = int8_dynamic_intx_weight(bits=4, group_size=32)

Change = Callable[[Tensor], Tensor]


class Altered(EngineBackend):
    """The engine, with one stage of its trace changed."""

    def __init__(self, stage: str, change: Change, *, name: str = "mine", only: tuple[int, ...] | None = None) -> None:
        self.name = name
        self.stage, self.change, self.only = stage, change, only
        self.seen: list[tuple[nn.Module, Tensor]] = []

    def trace(self, lane: Lane, layer: nn.Module, x: Tensor, scheme: QuantScheme, steps: int = 0) -> Trace:
        self.seen.append((layer, x))
        trace = super().trace(lane, layer, x, scheme, steps)
        if self.only is not None and tuple(layer.get_parameter("weight").shape) != self.only:
            return trace
        return Trace(
            Stage(name=s.name, tensor=self.change(s.tensor.clone()), computed=s.computed) if s.name == self.stage else s
            for s in trace
        )


def one_code_up(codes: Tensor) -> Tensor:
    """codes[3, 17] + 1, or - 1 where it is the greatest."""
    codes[3, 17] += 1 if codes[3, 17] < 7 else -1
    return codes


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16], ids=str)
@pytest.mark.parametrize("inputs", ["directed", "random"])
def test_the_engines_flows_are_identical_and_every_stage_is_there(dtype: torch.dtype, inputs: str) -> None:
    for flow in ("qat_prepare", "qat_convert"):
        record = parity.compare("engine:ptq", f"engine:{flow}", SCHEME, dtype=dtype, inputs=inputs)
        assert record.verdict is Verdict.IDENTICAL
        assert record.first_stage is None
        codes = record.stages["weight.codes"]
        assert (codes.n_different, codes.n_total, codes.max_ulp, codes.first_index) == (0, 32 * 64, 0, None)
        assert record.stages.names == record.lanes[0].stages.names
        assert {"input.scale", "weight.scale", "output"} < {*record.stages.names}
        assert record.sentence == f"engine:ptq and engine:{flow} have equal bits at every stage"


def test_a_changed_code_is_found_by_stage_index_and_bits() -> None:
    mine = Altered("weight.codes", one_code_up)
    record = parity.compare("engine:ptq", mine, SCHEME)
    assert record.verdict is Verdict.DIVERGED
    assert record.first_stage == "weight.codes"
    codes = record.stages["weight.codes"]
    assert (codes.n_different, codes.n_total, codes.max_ulp, codes.first_index) == (1, 2048, 1, (3, 17))
    assert record.stages["weight.scale"].identical
    assert codes.first is not None
    values = [
        (bits - 256 if bits > 127 else bits, f"0x{bits:02x}") for bits in (codes.first.bits_a, codes.first.bits_b)
    ]
    (a, bits_a), (b, bits_b) = values
    assert abs(a - b) == 1
    assert record.sentence == (
        f"weight.codes[3, 17] is {a} ({bits_a}) in engine:ptq, but {b} ({bits_b}) in mine:ptq; "
        "1 of 2,048 elements differs, by at most 1 step"
    )


def test_sides_of_one_name_are_told_apart() -> None:
    record = parity.compare("engine:ptq", Altered("output", torch.neg, name="engine"), SCHEME)
    assert record.edge == "engine:ptq~engine:ptq"
    assert " in engine:ptq (the first), but " in record.sentence
    assert " in engine:ptq (the second); " in record.sentence


@pytest.mark.parametrize(
    ("stage", "change", "told"),
    [
        ("weight.scale", Tensor.double, "weight.scale is float32 in engine:ptq, but float64 in mine:ptq"),
        ("output", lambda y: y[:4], r"output has the shape \(8, 32\) in engine:ptq, but \(4, 32\) in mine:ptq"),
        (
            "input.scale",
            lambda s: s * torch.nan,
            r"input.scale\[0, 0\] is \S+ \(0x\w{8}\) in engine:ptq, but nan \(0x7fc00000\)",
        ),
    ],
    ids=["dtype", "shape", "nan"],
)
def test_what_has_no_distance_is_told_as_what_it_is(stage: str, change: Change, told: str) -> None:
    record = parity.compare("engine:ptq", Altered(stage, change), SCHEME)
    assert record.first_stage == stage
    assert re.match(told, record.sentence), record.sentence


def test_rules_of_a_lane_replace_those_of_the_scheme() -> None:
    ours = parity.compare("engine:ptq", "engine.torchao:ptq", SCHEME)
    assert ours.verdict is Verdict.DIVERGED
    theirs = int8_dynamic_intx_weight(bits=4, group_size=32, rules="torchao")
    narrow = parity.compare("engine:ptq", "engine.torchao:ptq", theirs)
    assert narrow.verdict is Verdict.IDENTICAL


def test_a_lane_that_moves_between_two_runs_is_nondeterministic() -> None:
    calls = iter(range(100))
    record = parity.compare("engine:ptq", Altered("output", lambda y: y + next(calls) + 1), SCHEME)
    assert record.verdict is Verdict.NONDETERMINISTIC
    assert "mine:ptq gave other bits when run again at output" in record.message


def test_both_refusing_is_unsupported_one_refusing_diverged() -> None:
    layer = nn.Linear(40, 3)
    both = parity.compare("engine:ptq", "engine:qat_convert", SCHEME, module=layer)
    assert both.verdict is Verdict.UNSUPPORTED
    assert "group size 32 does not divide the last dimension of (3, 40)" in both.sentence

    def refuse(y: Tensor) -> Tensor:
        raise ValueError("not today")

    one = parity.compare("engine:ptq", Altered("output", refuse), SCHEME)
    assert (one.verdict, one.first_stage) == (Verdict.DIVERGED, "raise")
    assert "mine:ptq raised ValueError: not today" in one.sentence
    assert [lane.outcome for lane in one.lanes] == [Outcome.RAN, Outcome.RAISED]


def test_a_missing_device_is_unrun_and_not_identical() -> None:
    record = parity.compare("engine:ptq", "engine:ptq:mps", SCHEME)
    assert record.verdict is Verdict.UNRUN
    with pytest.raises(AssertionError, match="is unrun, not identical") as failed:
        parity.assert_identical("engine:ptq", "engine:ptq:mps", SCHEME)
    assert "engine:ptq:mps: no mps device" in str(failed.value)


def test_assert_identical_returns_the_record_or_tells_the_facts() -> None:
    assert parity.assert_identical("engine:ptq", "engine:qat_convert", SCHEME).verdict is Verdict.IDENTICAL
    with pytest.raises(AssertionError) as failed:
        parity.assert_identical("engine:ptq", Altered("weight.codes", one_code_up), SCHEME, torch.float32, "random", 7)
    case, stage, index, element, cause, rerun = str(failed.value).splitlines()
    assert case == ("engine:ptq~mine:ptq is diverged, not identical, on linear 32x64 float32, random inputs of seed 7")
    assert stage == "first stage: weight.codes (1 of 2,048 elements differs, by at most 1 step)"
    assert index == "first index: (3, 17)"
    assert re.match(
        r"weight\.codes\[3, 17\] is -?\d \(0x\w\w\) in engine:ptq, but -?\d \(0x\w\w\) in mine:ptq", element
    )
    assert cause.startswith("cause: weight.codes first; unexplained: ")
    assert rerun == (
        'rerun: parity.compare("engine:ptq", "mine:ptq", scheme, dtype=torch.float32, inputs="random", seed=7)'
    )


def test_same_seed_same_bits_another_seed_others() -> None:
    def inputs_of(seed: int, inputs: str = "directed") -> str:
        return parity.compare("engine:ptq", "engine:ptq", SCHEME, inputs=inputs, seed=seed).lanes[0].input_digest

    assert inputs_of(0) == inputs_of(0)
    assert len({inputs_of(0), inputs_of(1), inputs_of(0, "random"), inputs_of(1, "random")}) == 4


def test_directed_inputs_lie_on_ties_of_the_given_scheme() -> None:
    """bf16 weights on half-integer multiples of their scale: what random inputs have by chance alone."""
    mine, scheme = Altered("output", lambda y: y), intx_weight_only(bits=4, group_size=32, scale_dtype=torch.bfloat16)
    ties = {}
    for inputs in ("directed", "random"):
        parity.compare(mine, "engine:ptq", scheme, inputs=inputs)
        layer, _ = mine.seen[-1]
        weight = layer.get_parameter("weight").detach()
        scale = choose_qparams(weight, scheme.weight).scale.double().unsqueeze(2)
        quotient = weight.double().reshape(32, 2, 32) / scale
        ties[inputs] = int(((quotient - quotient.floor()) == 0.5).sum())
    assert ties["directed"] > 10 * max(1, ties["random"])


# --- tensors, layers, models --------------------------------------------------------------------------------------


def model() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Embedding(20, 64), nn.Linear(64, 96), nn.ReLU(), nn.Linear(96, 32, bias=False))


def test_a_tensor_is_weight_and_input() -> None:
    mine = Altered("output", lambda y: y)
    x = torch.arange(2 * 3 * 64, dtype=torch.float64).reshape(2, 3, 64) / 7
    record = parity.compare(mine, "engine:qat_prepare", SCHEME, inputs=x)
    layer, seen = mine.seen[0]
    rounded = x.to(torch.float32).to(torch.bfloat16)
    assert torch.equal(seen, rounded)
    assert torch.equal(layer.get_parameter("weight"), rounded.reshape(6, 64))
    assert record.verdict is Verdict.IDENTICAL
    assert record.stages["output"].shape_a == (2, 3, 6)


def test_a_layer_keeps_its_own_weights_and_is_not_touched() -> None:
    layer = nn.Linear(64, 5).double().train()
    before = copy.deepcopy(layer.state_dict())
    mine = Altered("output", lambda y: y)
    record = parity.compare(mine, "engine:qat_convert", SCHEME, dtype=torch.float16, module=layer)
    assert record.verdict is Verdict.IDENTICAL
    assert not record.layers
    assert mine.seen[0][0].get_parameter("weight").dtype == torch.float16
    assert layer.training
    assert all(torch.equal(before[name], value) for name, value in layer.state_dict().items())


def test_a_model_is_compared_layer_by_layer() -> None:
    record = parity.compare("engine:ptq", "engine:qat_prepare", SCHEME, module=model())
    assert [*record.layers] == ["0", "1", "3"]
    assert record.verdict is Verdict.IDENTICAL
    assert record.sentence.endswith("have equal bits at every stage of 3 layers")

    mine = Altered("weight.codes", one_code_up, only=(32, 96))
    record = parity.compare("engine:ptq", mine, SCHEME, module=model())
    assert (record.verdict, record.first_stage) == (Verdict.DIVERGED, "weight.codes")
    assert {name: layer.verdict.value for name, layer in record.layers.items()} == {
        "0": "identical",
        "1": "identical",
        "3": "diverged",
    }
    assert record.sentence.startswith("3: linear 32x96 bfloat16, directed inputs of seed 0: weight.codes[3, 17] is ")
    assert record.stages == record.layers["3"].stages


def test_each_layer_of_a_model_gets_what_reaches_it() -> None:
    mine = Altered("output", lambda y: y)
    whole, indices = model().eval(), torch.tensor([[3, 1, 19], [0, 0, 7]])
    parity.compare(mine, "engine:ptq", SCHEME, dtype=torch.float32, module=whole, inputs=indices)
    assert isinstance(whole, nn.Sequential)
    with torch.no_grad():
        expected = [indices, whole[:1](indices), whole[:3](indices)]
    assert all(torch.equal(x, want) for (_, x), want in zip(mine.seen, expected, strict=True))


class Unreached(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.used, self.spare = nn.Linear(64, 4), nn.Linear(64, 4)

    def forward(self, x: Tensor) -> Tensor:
        return self.used(x)  # type: ignore[no-any-return]  # nn.Module's call is typed so


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ({"dtype": torch.float64}, "dtype is torch.float64; layers are compared in torch.float32, "),
        ({"inputs": "specials"}, "inputs is 'specials'; it must be 'directed' or 'random' or a tensor"),
        ({"inputs": torch.arange(4)}, r"inputs is a tensor of torch.int64 and shape \(4,\); it must be float"),
        ({"module": nn.ReLU()}, "the module ReLU holds no nn.Linear and no nn.Embedding"),
        ({"module": Unreached(), "inputs": torch.ones(1, 64)}, "the forward pass never calls layer 'spare'"),
        ({"lane_a": "engine:qat"}, "'engine:qat' names the flow 'qat'; flows are ptq, qat_prepare, qat_convert"),
        ({"lane_a": "motor:ptq"}, "there is no backend 'motor'; the backends are aten_int4, engine, "),
        ({"lane_a": EngineBackend}, "is no lane; give a Lane, its text, or an object with all of parity.Backend"),
        ({"lane_a": 3}, "3 is no lane"),
    ],
    ids=lambda value: value.split(";")[0][:40] if isinstance(value, str) else "",
)
def test_wrong_arguments_are_told(arguments: dict[str, object], told: str) -> None:
    with pytest.raises(ValueError, match=told):
        parity.compare(**{"lane_a": "engine:ptq", "lane_b": "engine:ptq", "scheme": SCHEME, **arguments})


def test_lanes_may_be_lanes_texts_or_backends() -> None:
    lane = parity.lane("engine", flow=Flow.QAT_CONVERT)
    for a in (lane, "engine:qat_convert", EngineBackend()):
        assert parity.compare(a, "engine:ptq", SCHEME).verdict is Verdict.IDENTICAL


def test_any_flow_of_a_backend_that_nobody_registered() -> None:
    mine = Altered("weight.codes", one_code_up, name="handed_over")
    prepared = parity.lane(mine, flow="qat_prepare")
    assert str(prepared) == "handed_over:qat_prepare"
    assert parity.compare("engine:qat_prepare", prepared, SCHEME).first_stage == "weight.codes"
    assert parity.compare("engine:ptq", "handed_over:ptq", SCHEME).first_stage == "weight.codes"
    assert str(parity.lane(EngineBackend(), flow="qat_convert")) == "engine:qat_convert"


def test_a_backend_cannot_take_the_name_of_an_announced_one() -> None:
    with pytest.raises(ValueError, match=r"a backend 'engine' is announced already; give .* a name of its own"):
        parity.lane(Altered("output", torch.neg, name="engine"), flow="qat_convert")


def test_sentence_of_a_record_without_stages_is_its_message() -> None:
    record = parity.compare("engine:ptq", "engine:ptq:mps", SCHEME)
    assert sentence(record) == "engine:ptq:mps: no mps device"
