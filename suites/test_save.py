"""Saved models: what is loaded is what was saved, bit for bit, with the scheme of both sides; all else is refused."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

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


def rewritten(file: Path, change: Callable[[dict[str, Any], dict[str, Tensor]], object]) -> None:
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


def weight_of(described: dict[str, Any]) -> dict[str, Any]:
    weight: dict[str, Any] = described["schemes"][0]["weight"]
    return weight


SPOILED: dict[str, Callable[[dict[str, Any], dict[str, Tensor]], object]] = {
    "its version is 2, and only version 1 is known here": lambda d, t: d.update(version=2),
    "its version is True, and only version 1": lambda d, t: d.update(version=True),
    "the description has the field 'more', which is not known here": lambda d, t: d.update(more=1),
    "the description does not say 'shared'": lambda d, t: d.pop("shared"),
    r"the description.schemes\[0\].weight.rules has the field 'stochastic', which is not known here": lambda d, t: (
        weight_of(d)["rules"].update(stochastic="yes")
    ),
    r"the description.schemes\[0\].weight.rules.code_rounding is 'dice', which is not known here; its": lambda d, t: (
        weight_of(d)["rules"].update(code_rounding="dice")
    ),
    r"the description.schemes\[0\].weight.granularity is a 'PerMoon', which is not known here": lambda d, t: weight_of(
        d
    )["granularity"].update({"is": "PerMoon"}),
    r"the description.schemes\[0\].weight does not say 'bits'; a TensorScheme needs it": lambda d, t: weight_of(d).pop(
        "bits"
    ),
    r"the description.schemes\[0\].weight.bits is '4'; it must be int": lambda d, t: weight_of(d).update(bits="4"),
    r"the description.schemes\[0\].weight has no meaning: bits is 99": lambda d, t: weight_of(d).update(bits=99),
    "the description.layers is 1; it must be dict": lambda d, t: d.update(layers=1),
    "the description has no meaning: head has scheme 7 of 1": lambda d, t: d["layers"]["head"].update(scheme=7),
    "the model has no tail, which the file quantizes": lambda d, t: d["layers"].update(tail=d["layers"].pop("head")),
    "body.1 is a LayerNorm in the model and quantizes a linear in the file": lambda d, t: d["layers"].update(
        {"body.1": d["layers"].pop("body.2")}
    ),
    "head is a Linear in the model and quantizes a embedding in the file": lambda d, t: d["layers"]["head"].update(
        kind="embedding"
    ),
    r"head does not fit: its dtype is 'torch.float16' in the file and 'torch.float32' in the model": lambda d, t: d[
        "layers"
    ]["head"].update(dtype="torch.float16"),
    r"body.0 does not fit: its bias is False in the file and True in the model": lambda d, t: d["layers"][
        "body.0"
    ].update(bias=False),
    "it does not hold body.1.bias, which the model needs": lambda d, t: t.pop("body.1.bias"),
    "it holds spare, which the model has no place for": lambda d, t: t.update(spare=torch.zeros(1)),
    r"table.weight_scale is torch.float16 \[5, 4\] in the file, but the model has torch.float32": lambda d, t: t.update(
        {"table.weight_scale": t["table.weight_scale"].half()}
    ),
    r"table.weight_codes is torch.int8 \[5, 8\] in the file, but the model has torch.int8 \[5, 16\]": lambda d, t: (
        t.update({"table.weight_codes": t["table.weight_codes"][:, :8].contiguous()})
    ),
    "head.weight_codes is the same as nobody, which the file does not hold": lambda d, t: d["shared"].update(
        {"head.weight_codes": "nobody"}
    ),
    r"body.0.bias is said to lie in the order \(3,\), but it has 1 dimensions": lambda d, t: d["order"].update(
        {"body.0.bias": [3]}
    ),
}


@pytest.mark.parametrize(("sentence", "change"), SPOILED.items(), ids=SPOILED)
def test_a_spoiled_file_is_refused_and_the_model_left_alone(
    sentence: str, change: Callable[[dict[str, Any], dict[str, Tensor]], object], file: Path
) -> None:
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
    with pytest.raises(ValueError, match=r"^save_quantized writes safetensors, but model.pt does not end in "):
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

    monkeypatch.setattr("quant.save.save_file", full)
    with pytest.raises(OSError, match="the disk is full"):
        saved(file)
    assert file.read_bytes() == before
    assert [path.name for path in file.parent.iterdir()] == [file.name]
