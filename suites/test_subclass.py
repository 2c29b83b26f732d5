"""QAT by tensor subclass: the bits of the module swap at every stage, and a Parameter that behaves like one."""

from __future__ import annotations

import copy
import io
from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import parity
from quant import Mechanism, PerTensor, QuantScheme, convert, prepare, presets, quantize_
from quant.fake import Operand, fake_operand
from quant.scheme import TensorScheme
from quant.statistic import MinMax
from quant.subclass import FakeQuantizedTensor, products, stages_of
from quant.subclass.products import WrappedInput
from quant.switch import disable_fake_quantization, enable_fake_quantization
from suites.directed_groups import FLOATS, same_bits
from suites.quant_layers import SCHEME, embedding, linear, numbers

WEIGHT_ONLY = presets.int4_weight_only(group_size=8)
SCHEMES = {
    "dynamic": SCHEME,
    "float domain": WEIGHT_ONLY,
    "one scale": replace(SCHEME, weight=replace(SCHEME.weight, granularity=PerTensor())),
    "torchao": presets.int8_dynamic_intx_weight(group_size=8, rules="torchao"),
}
OPTIMIZERS: dict[str, Callable[[nn.Module], torch.optim.Optimizer]] = {
    "SGD": lambda model: torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9),
    "AdamW": lambda model: torch.optim.AdamW(model.parameters(), lr=0.01),
}


def wrapped(layer: nn.Module, scheme: QuantScheme = SCHEME) -> nn.Module:
    return prepare(nn.Sequential(layer), scheme, mechanism=Mechanism.SUBCLASS)


def weight_of(model: nn.Module) -> FakeQuantizedTensor:
    assert isinstance(model[0].weight, FakeQuantizedTensor)  # type: ignore[index]  # a Sequential
    return model[0].weight  # type: ignore[index]  # the same


def plain(tensor: Tensor) -> Tensor:
    return tensor.original if isinstance(tensor, FakeQuantizedTensor) else tensor


def trained(model: nn.Module, x: Tensor, optimizer: torch.optim.Optimizer) -> list[Tensor]:
    """What three steps compute: outputs, every gradient, and the Parameters they end in."""
    seen = []
    for _ in range(3):
        given = x.clone().requires_grad_() if x.is_floating_point() else x
        output = model(given)
        output.square().sum().backward()
        gradients = [parameter.grad for parameter in model.parameters()]
        seen += [output.detach(), *[gradient.clone() for gradient in gradients if gradient is not None]]
        seen += [] if given.grad is None else [given.grad]
        optimizer.step()
        optimizer.zero_grad()
    return [*seen, *[plain(parameter.detach()) for parameter in model.parameters()]]


def unlike(a: list[Tensor], b: list[Tensor]) -> list[int]:
    return [i for i, (one, other) in enumerate(zip(a, b, strict=True)) if not same_bits(one, other)]


# --- the bits of the module swap ----------------------------------------------------------------------------------


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("kind", ["linear", "embedding"])
def test_training_gives_the_bits_of_the_module_swap(kind: str, dtype: torch.dtype, scheme: str, optimizer: str) -> None:
    layer = linear(dtype=dtype) if kind == "linear" else embedding(dtype, padding_idx=2)
    x = numbers((3, 16), dtype, seed=9) if kind == "linear" else torch.tensor([[0, 2], [4, 0]])
    both = [copy.deepcopy(layer), layer]
    swapped, other = prepare(nn.Sequential(both[0]), SCHEMES[scheme]), wrapped(both[1], SCHEMES[scheme])
    expected = trained(swapped, x, OPTIMIZERS[optimizer](swapped))
    assert unlike(trained(other, x, OPTIMIZERS[optimizer](other)), expected) == []


def test_a_mechanism_that_quantizes_otherwise_is_caught_at_its_stage(monkeypatch: pytest.MonkeyPatch) -> None:
    def wider(x: Tensor, scheme: TensorScheme) -> Operand:
        return fake_operand(x, scheme if x.dim() != 2 or x.shape[0] != 32 else replace(scheme, granularity=PerTensor()))

    arguments = ("engine:qat_prepare", "engine_subclass:qat_prepare", presets.int8_dynamic_intx_weight())
    assert parity.compare(*arguments, dtype=torch.bfloat16).verdict == "identical"
    monkeypatch.setattr(products, "fake_operand", wider)
    record = parity.compare(*arguments, dtype=torch.bfloat16)
    assert (record.verdict, record.first_stage) == ("diverged", "weight.scale")


def test_stages_end_in_the_layers_own_output() -> None:
    model, x = wrapped(linear()), numbers((3, 16), seed=9)
    assert same_bits(stages_of(model[0], x).output, model(x))  # type: ignore[index]  # a Sequential


def test_convert_stores_the_codes_of_the_module_swap() -> None:
    x = numbers((3, 16), seed=9)
    expected, found = convert(prepare(nn.Sequential(linear()), SCHEME)), convert(wrapped(linear()))
    assert [name for name, _ in found.named_modules()] == [name for name, _ in expected.named_modules()]
    assert unlike(list(found.state_dict().values()), list(expected.state_dict().values())) == []
    assert same_bits(found(x), expected(x))


@pytest.mark.parametrize("dtype", FLOATS)
def test_switched_off_it_is_the_float_model(dtype: torch.dtype) -> None:
    x, model = numbers((3, 16), dtype, seed=9), wrapped(linear(dtype=dtype))
    expected = trained(nn.Sequential(linear(dtype=dtype)), x, torch.optim.SGD([nn.Parameter(x)]))
    disable_fake_quantization(model)
    assert unlike(trained(model, x, torch.optim.SGD([nn.Parameter(x)])), expected) == []
    enable_fake_quantization(model)
    assert same_bits(model(x), prepare(nn.Sequential(linear(dtype=dtype)), SCHEME)(x))


# --- a Parameter like any other -----------------------------------------------------------------------------------


def test_the_gradient_is_plain_and_the_outer_parameters() -> None:
    model = wrapped(linear())
    model(numbers((3, 16), seed=9)).sum().backward()
    weight = weight_of(model)
    assert isinstance(weight, nn.Parameter)
    assert weight.is_leaf
    assert type(weight.grad) is Tensor
    assert weight.original.grad is None
    assert not weight.original.requires_grad


def test_writing_reaches_the_numbers() -> None:
    weight = weight_of(wrapped(linear()))
    with torch.no_grad():
        assert weight.mul_(2) is weight
        assert same_bits(weight.original, linear().weight.detach() * 2)
        weight.copy_(torch.ones(4, 16))
    assert same_bits(weight.original, torch.ones(4, 16))
    assert type(weight.detach() + 1) is Tensor


def test_a_copy_is_its_own() -> None:
    model, x = wrapped(linear()), numbers((3, 16), seed=9)
    other = copy.deepcopy(model)
    with torch.no_grad():
        weight_of(model).zero_()
    assert same_bits(other(x), wrapped(linear())(x))
    assert type(weight_of(other)) is FakeQuantizedTensor


def test_a_checkpoint_is_the_float_models() -> None:
    model, x = wrapped(linear()), numbers((3, 16), seed=9)
    file = io.BytesIO()
    torch.save(model.state_dict(), file)
    file.seek(0)
    state = torch.load(file, weights_only=True)
    assert {type(value) for value in state.values()} == {Tensor}
    nn.Sequential(linear(seed=5)).load_state_dict(state)
    other = wrapped(linear(seed=5))
    other.load_state_dict(state)
    assert same_bits(other(x), model(x))


@pytest.mark.parametrize("dtype", FLOATS)
def test_a_cast_model_computes_in_its_new_dtype(dtype: torch.dtype) -> None:
    x = numbers((3, 16), dtype, seed=9)
    swapped = prepare(nn.Sequential(linear()), SCHEME).to(dtype)
    model = wrapped(linear()).to(dtype)
    assert weight_of(model).original.dtype is dtype
    assert same_bits(model(x), swapped(x))
    with pytest.raises(ValueError, match="cast the input, or the model"):
        model(x.double())


@pytest.mark.gpu
def test_a_moved_model_computes_on_its_new_device() -> None:
    x, model = numbers((3, 16), seed=9), wrapped(linear())
    expected = model(x)
    assert same_bits(copy.deepcopy(model).to("cuda")(x.cuda()).cpu(), expected)


def test_it_prints_its_numbers_and_its_grid() -> None:
    assert repr(weight_of(wrapped(linear()))).endswith("bits=4, PerGroup(size=8), requires_grad=True)")
    assert ", transposed)" in repr(weight_of(wrapped(linear())).detach().t())


def test_tied_weights_stay_one_parameter() -> None:
    table, head = embedding(), nn.Linear(16, 5, bias=False)
    head.weight = table.weight
    model = prepare(nn.ModuleList([table, head]), SCHEME, mechanism="subclass")
    assert model[0].weight is model[1].weight  # type: ignore[index]  # a ModuleList
    converted = convert(model)
    assert converted[0].weight_codes is converted[1].weight_codes  # type: ignore[index]  # the same


# --- every product, or a sentence ---------------------------------------------------------------------------------


def test_every_way_to_write_the_product_quantizes() -> None:
    model, x, bias = wrapped(linear(bias=False), WEIGHT_ONLY), numbers((3, 16), seed=9), numbers((4,), seed=3)
    weight, expected = weight_of(model), model(x)
    turned = weight.t()
    for product in (F.linear(x, weight), x @ turned, torch.mm(x, turned), torch.matmul(x, turned), x.mm(turned)):
        assert same_bits(product, expected)
    assert same_bits(torch.addmm(bias, x, turned), F.linear(x, weight, bias))
    assert not same_bits(expected, F.linear(x, weight.original))


def test_an_input_may_be_wrapped_by_hand_or_named() -> None:
    model, x = wrapped(linear()), numbers((3, 16), seed=9)
    layer = model[0]  # type: ignore[index]  # a Sequential
    assert same_bits(F.linear(WrappedInput(x, SCHEME.activation), layer.weight, layer.bias), model(x))  # type: ignore[arg-type]  # a tensor to torch
    assert same_bits(layer(input=x), model(x))


def test_other_functions_see_a_wrapped_input_as_it_is() -> None:
    x, weight = numbers((3, 16), seed=9), weight_of(wrapped(linear()))
    given = WrappedInput(x, SCHEME.activation)
    assert same_bits(torch.relu(given), torch.relu(x))  # type: ignore[arg-type]  # a tensor to torch
    assert same_bits(torch.cat([weight, given]), torch.cat([weight.original, x]))  # type: ignore[list-item]  # the same


@pytest.mark.parametrize(
    ("product", "said"),
    [
        (lambda x, w: F.linear(x, w), "comes from no layer that prepare hooked"),
        (lambda x, w: x @ w.t(), "comes from no layer that prepare hooked"),
        (lambda x, w: w @ x.t(), "write x @ weight.t()"),
        (lambda x, w: torch.einsum("mk,nk->mn", x, w), "would multiply a weight"),
        (lambda x, w: torch.mv(w, x[0]), "would multiply a weight that prepare wrapped without quantizing it"),
        (lambda x, w: torch.addmm(x[:, :4], x, w.t(), alpha=2), "a product under ProductRules is not scaled"),
        (lambda x, w: x[:, :4] @ w, "write x @ weight.t()"),
    ],
)
def test_a_product_without_quantization_is_refused(product: Callable[[Tensor, Tensor], Tensor], said: str) -> None:
    weight = weight_of(wrapped(linear()))
    with pytest.raises((ValueError, NotImplementedError), match=said.replace("(", r"\(").replace(")", r"\)")):
        product(numbers((3, 16), seed=9), weight)


def test_a_weight_that_lost_its_wrapping_is_refused() -> None:
    model = wrapped(linear())
    model.load_state_dict(nn.Sequential(linear()).state_dict(), assign=True)
    for use in (lambda: model(numbers((3, 16))), lambda: convert(model)):
        with pytest.raises(ValueError, match="has become a Parameter, which nothing quantizes"):
            use()


def test_what_is_wrapped_is_not_prepared_or_quantized_again() -> None:
    for again in (lambda m: prepare(m, SCHEME), lambda m: prepare(m, SCHEME, mechanism="subclass")):
        with pytest.raises(ValueError, match="nothing was prepared"):
            again(wrapped(linear()))
    with pytest.raises(ValueError, match="nothing was quantized"):
        quantize_(wrapped(linear()), SCHEME)


def test_ranges_that_are_kept_take_a_module() -> None:
    assert SCHEME.activation is not None
    static = replace(SCHEME.activation, granularity=PerTensor(), statistic=MinMax())
    with pytest.raises(ValueError, match="a tensor subclass keeps no ranges"):
        wrapped(linear(), replace(SCHEME, activation=static))


def test_an_unknown_mechanism_is_refused() -> None:
    with pytest.raises(ValueError, match="mechanism is 'hooks'; it must be one of module_swap, subclass"):
        prepare(nn.Sequential(linear()), SCHEME, mechanism="hooks")
