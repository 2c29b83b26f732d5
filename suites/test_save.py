"""Saved models: what is loaded is what was saved, bit for bit, with the scheme of both sides; all else is refused."""

from __future__ import annotations

import copy
import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from quant import (
    Mapping,
    MinMax,
    PerTensor,
    QuantScheme,
    convert,
    load_quantized,
    prepare,
    presets,
    quantize_,
    save_quantized,
)
from quant.linear import QuantizedLinear
from quant.saved_model import METADATA_KEY
from suites.directed_groups import FLOATS, same_bits
from suites.quant_layers import embedding, linear, numbers
from suites.spoiled_files import SPOILED, Change

DYNAMIC = presets.int8_dynamic_intx_weight(group_size=4, activation_eps=1e-5, activation_scale_dtype=torch.float64)
SCHEMES = {
    "8da4w": DYNAMIC,
    "torchao": presets.int8_dynamic_intx_weight(group_size=4, rules="torchao", activation_mapping=Mapping.SYMMETRIC),
    "xnnpack": presets.xnnpack_recipe(group_size=4),
    "weight_only": presets.intx_weight_only(bits=3),
    "float_zero_point": presets.int4_weight_only(group_size=4),
}
INDICES = torch.tensor([[0, 4], [2, 2]])


class Model(nn.Module):
    """A table tied to a head, a linear with a bias that hangs twice, and a norm that stays float."""

    def __init__(self, dtype: torch.dtype = torch.float32, seed: int = 0) -> None:
        super().__init__()
        self.table = embedding(dtype, padding_idx=2)
        self.body = nn.Sequential(linear(dtype=dtype, seed=seed), nn.LayerNorm(4, dtype=dtype), nn.Linear(4, 16))
        self.body[2] = self.body[2].to(dtype)
        self.head = nn.Linear(16, 5, bias=False)
        self.head.weight = self.table.weight
        self.again = self.body[0]

    def forward(self, indices: Tensor) -> Tensor:
        hidden = self.body(self.table(indices))
        result: Tensor = self.head(hidden)
        return result + self.again(hidden).sum(-1, keepdim=True)


def saved(path: Path, scheme: QuantScheme = DYNAMIC, dtype: torch.dtype = torch.float32) -> nn.Module:
    """A quantized model, written to `path`."""
    model = quantize_(Model(dtype), scheme)
    save_quantized(model, path)
    return model


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "model.safetensors"


def rewritten(file: Path, change: Change) -> None:
    """The file with its description and its tensors changed."""
    with safe_open(file, framework="pt") as handle:
        described = json.loads(handle.metadata()[METADATA_KEY])
    tensors = load_file(file)
    change(described, tensors)
    save_file(tensors, file, {METADATA_KEY: json.dumps(described)})


# --- what is loaded is what was saved ------------------------------------------------------------------------------


@pytest.mark.parametrize("scheme", SCHEMES.values(), ids=SCHEMES)
@pytest.mark.parametrize("dtype", FLOATS, ids=str)
def test_a_loaded_model_is_the_saved_one(scheme: QuantScheme, dtype: torch.dtype, file: Path) -> None:
    model = saved(file, scheme, dtype)
    other = Model(dtype, seed=7)
    loaded = load_quantized(other, file)
    assert loaded is other
    before, after = model.state_dict(), loaded.state_dict()
    assert list(before) == list(after)
    assert not [name for name in before if not same_bits(before[name], after[name])]
    for name in ("table", "body.0", "body.2", "head"):
        one, two = model.get_submodule(name), loaded.get_submodule(name)
        assert type(one) is type(two)
        assert one.scheme == two.scheme == scheme
        assert one.dtype is two.dtype
    assert loaded.table.padding_idx == 2
    assert loaded.again is loaded.body[0]
    assert loaded.head.weight_codes is loaded.table.weight_codes
    assert same_bits(loaded(INDICES), model(INDICES))


def test_a_quantized_model_of_the_same_scheme_takes_the_tensors(file: Path) -> None:
    model = saved(file)
    loaded = load_quantized(quantize_(Model(seed=7), DYNAMIC), file, DYNAMIC)
    assert same_bits(loaded(INDICES), model(INDICES))


def test_a_model_that_is_one_layer(file: Path) -> None:
    layer = quantize_(linear(), DYNAMIC)
    save_quantized(layer, file)
    loaded = load_quantized(linear(seed=7), file)
    assert isinstance(loaded, QuantizedLinear)
    assert same_bits(loaded(numbers((2, 16))), layer(numbers((2, 16))))


def test_a_static_activation_is_saved(file: Path) -> None:
    assert DYNAMIC.activation is not None
    activation = replace(DYNAMIC.activation, statistic=MinMax(), granularity=PerTensor())
    layer = quantize_(linear(), replace(DYNAMIC, activation=activation), batches=[numbers((3, 16))])
    save_quantized(layer, file)
    loaded = load_quantized(linear(seed=7), file)
    assert loaded.scheme.activation == activation
    assert same_bits(loaded.activation_scale, layer.activation_scale)
    assert same_bits(loaded(numbers((2, 16))), layer(numbers((2, 16))))


def test_a_transposed_weight_keeps_its_strides(file: Path) -> None:
    """A native product depends on them."""
    scheme = presets.intx_weight_only(bits=8, rules="torchao")
    layer = nn.Linear(64, 64, bias=False)
    layer.weight = nn.Parameter(numbers((64, 64)).t())
    layer = quantize_(layer, scheme)
    assert not layer.weight_codes.is_contiguous()
    save_quantized(layer, file)
    loaded = load_quantized(nn.Linear(64, 64, bias=False), file)
    assert loaded.weight_codes.stride() == layer.weight_codes.stride()
    x = numbers((5, 64), seed=3)
    assert same_bits(loaded(x), layer(x))


def test_what_was_trained_is_saved(file: Path) -> None:
    prepared = prepare(Model(), DYNAMIC)
    prepared(INDICES).sum().backward()
    torch.optim.SGD(prepared.parameters(), lr=0.1).step()
    model = convert(prepared.eval())
    save_quantized(model, file)
    assert same_bits(load_quantized(Model(seed=7), file)(INDICES), model(INDICES))


def test_the_users_own_torch_save_needs_no_pickle(tmp_path: Path) -> None:
    model = quantize_(Model(), DYNAMIC)
    torch.save(model.state_dict(), tmp_path / "state.pt")
    state = torch.load(tmp_path / "state.pt", weights_only=True)
    other = quantize_(Model(seed=7), DYNAMIC)
    other.load_state_dict(state)
    assert same_bits(other(INDICES), model(INDICES))


def test_a_field_added_since_has_its_default(file: Path) -> None:
    """It was not there when the file was written, and its default is what was so before."""
    model = saved(file, SCHEMES["torchao"])
    rewritten(file, lambda described, _: described["schemes"][0]["weight"]["rules"].pop("code_division"))
    assert same_bits(load_quantized(Model(seed=7), file)(INDICES), model(INDICES))


# --- refusals ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("sentence", "change"), SPOILED.items(), ids=SPOILED)
def test_a_spoiled_file_is_refused_and_the_model_left_alone(sentence: str, change: Change, file: Path) -> None:
    saved(file)
    rewritten(file, change)
    model = Model(seed=7)
    before = copy.deepcopy(model.state_dict())
    with pytest.raises(ValueError, match=f"^{file} is not loaded: {sentence}"):
        load_quantized(model, file)
    assert type(model.table) is nn.Embedding
    assert not [name for name, value in model.state_dict().items() if not same_bits(value, before[name])]


def test_another_scheme_is_refused(file: Path) -> None:
    """The file's, the model's and the one that is asked for must be one."""
    saved(file)
    wider = presets.int8_dynamic_intx_weight(group_size=4, bits=8)
    message = r"has another scheme: weight.bits is 4 in the file and 8 in"
    with pytest.raises(ValueError, match=message + " the scheme given"):
        load_quantized(Model(), file, wider)
    with pytest.raises(ValueError, match=message + " the model's"):
        load_quantized(quantize_(Model(), wider), file)
    assert DYNAMIC.activation is not None
    other = replace(DYNAMIC, activation=replace(DYNAMIC.activation, eps=1e-3))
    with pytest.raises(ValueError, match=r"activation.eps is 1e-05 in the file and 0.001 in the scheme given"):
        load_quantized(Model(), file, other)
    rules = replace(DYNAMIC.weight.rules, refuse_lossy=False)
    with pytest.raises(ValueError, match=r"weight.rules.refuse_lossy is True in the file and False in the "):
        load_quantized(Model(), file, replace(DYNAMIC, weight=replace(DYNAMIC.weight, rules=rules)))


def test_what_is_no_such_file_is_refused(tmp_path: Path, file: Path) -> None:
    torch.save(quantize_(Model(), DYNAMIC).state_dict(), tmp_path / "state.pt")
    with pytest.raises(ValueError, match=r"state.pt is not read: .*; only safetensors are, for a pickle can run code$"):
        load_quantized(Model(), tmp_path / "state.pt")
    with pytest.raises(ValueError, match=r"absent.safetensors is not read: "):
        load_quantized(Model(), tmp_path / "absent.safetensors")
    save_file({"weight": torch.zeros(2)}, file)
    with pytest.raises(ValueError, match="is not loaded: it has no description under 'quant', so save_quantized "):
        load_quantized(Model(), file)
    for text in ("{", '{"version": NaN}', "[" * 100_000):
        save_file({"weight": torch.zeros(2)}, file, {METADATA_KEY: text})
        with pytest.raises(ValueError, match="is not loaded: its description is no JSON: "):
            load_quantized(Model(), file)


def test_what_cannot_be_saved_is_refused(file: Path) -> None:
    with pytest.raises(ValueError, match=r"^what is saved is safetensors, but model.pt does not end in "):
        save_quantized(quantize_(Model(), DYNAMIC), "model.pt")
    with pytest.raises(ValueError, match=r"^the model holds no quantized layer; call quantize_\(model, scheme\)"):
        save_quantized(Model(), file)
    with pytest.raises(ValueError, match=r"^table is prepared and not yet quantized; convert\(model\) first"):
        save_quantized(prepare(Model(), DYNAMIC), file)
    with pytest.raises(ValueError, match=r"^table is prepared and not yet quantized; convert\(model\) first"):
        save_quantized(prepare(Model(), DYNAMIC, mechanism="subclass"), file)
    assert not file.exists()


def test_a_save_that_fails_leaves_the_old_file(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    saved(file)
    before = file.read_bytes()

    def full(*_: object) -> None:
        raise OSError("the disk is full")

    monkeypatch.setattr("quant.safetensors_file.save_file", full)
    with pytest.raises(OSError, match="the disk is full"):
        saved(file)
    assert file.read_bytes() == before
    assert [path.name for path in file.parent.iterdir()] == [file.name]
