"""Quantized tensors in a file: bits, schemes, contracts and strides come back; anything else is refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from quant import (
    Mapping,
    PerGroup,
    PerTensor,
    Propagation,
    QuantizedTensor,
    QuantScheme,
    load_quantized,
    load_tensors,
    presets,
    save_tensors,
)
from quant.burn import BlockLevel, Value, burn_3042_half, burn_head, burn_head_flex
from quant.granularity import Granularity
from quant.quantized_tensor import BURN_3042, ENGINE, Contract
from quant.quantized_tensor.file import METADATA_KEY
from suites.directed_groups import same_bits
from suites.quant_layers import layer_scheme, numbers

SCHEMES: dict[str, QuantScheme] = {
    "symmetric": layer_scheme(),
    "asymmetric": layer_scheme(mapping=Mapping.ASYMMETRIC),
    "float zero point": presets.int4_weight_only(group_size=8),
    "unrounded scale kept": presets.int8_dynamic_intx_weight(group_size=8),
    "burn": burn_head_flex(Value.Q4F, level=BlockLevel((2, 8))),
    "two levels": burn_head(
        Value.Q8S, level=BlockLevel((2, 8)), scale_dtype=torch.float8_e4m3fn, global_dtype=torch.float32
    ),
    "stretched": presets.stretched_intx_weight_only(bits=2, group_size=8),
}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "tensors.safetensors"


def made(
    of: QuantScheme | None = None, contract: Contract = ENGINE, dtype: torch.dtype = torch.float32
) -> QuantizedTensor:
    return QuantizedTensor.from_float(numbers((4, 16), dtype), of or layer_scheme(), contract)


def same(a: Tensor, b: Tensor) -> bool:
    """Everything that two quantized tensors hold, strides of codes included."""
    assert isinstance(a, QuantizedTensor)
    assert isinstance(b, QuantizedTensor)
    equal = all(same_bits(mine, its) for mine, its in zip(a.parts(), b.parts(), strict=True))
    return equal and a.described == b.described and a.quantized.codes.stride() == b.quantized.codes.stride()


def through(named: dict[str, Tensor], file: Path) -> dict[str, Tensor]:
    save_tensors(named, file)
    return load_tensors(file)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("name", SCHEMES)
def test_everything_comes_back(name: str, dtype: torch.dtype, file: Path) -> None:
    q = made(SCHEMES[name], dtype=dtype)
    found = through({"w": q, "bias": numbers((4,), dtype)}, file)
    assert {*found} == {"w", "bias"}
    assert same(found["w"], q)
    assert same_bits(found["bias"], numbers((4,), dtype))


@pytest.mark.parametrize("granularity", [PerTensor(), PerGroup(8)])
def test_moved_tensors_come_back_as_they_lie(granularity: Granularity, file: Path) -> None:
    """A turned tensor keeps its strides; what lies apart, or many times in one place, is written as it is read."""
    q = made(layer_scheme(granularity=granularity))
    assert same(through({"w": q.t()}, file)["w"], q.t())
    for moved in (q[1:3], q[:, ::2], q.expand(2, 4, 16), q.flip(0), q[2]):
        assert same(through({"w": moved}, file)["w"], moved.contiguous())


def test_a_module_is_filled_from_a_file(file: Path) -> None:
    layers = [nn.Linear(16, 4) for _ in range(2)]
    for seed, layer in enumerate(layers):
        q = QuantizedTensor.from_float(numbers((4, 16), seed=seed), layer_scheme())
        layer.weight = nn.Parameter(q, requires_grad=False)
    save_tensors(layers[0].state_dict(), file)
    layers[1].load_state_dict(load_tensors(file))
    assert same(layers[1].weight, layers[0].weight)
    assert same_bits(layers[1](numbers((3, 16))), layers[0](numbers((3, 16))))


def test_a_tensor_with_two_names_is_written_once(file: Path) -> None:
    q = made()
    found = through({"a": q, "b": q}, file)
    assert same(found["a"], found["b"])
    assert len(load_file(file)) == len(q.parts())
    assert found["a"].codes.data_ptr() == found["b"].codes.data_ptr()  # type: ignore[attr-defined]  # the same


def test_an_export_that_forgets_its_scheme_turns_propagation_off(file: Path) -> None:
    """Burn at the merge of #3042, whose ndarray backend rebuilds a scheme of defaults."""
    q = made(burn_3042_half(propagation=Propagation.PROPAGATE), BURN_3042)
    forgets = made(q.scheme, BURN_3042.with_values("forgets", exported_scheme="defaults"))
    found = through({"kept": q, "forgotten": forgets}, file)
    assert same(found["kept"], q)
    scheme = found["forgotten"].scheme  # type: ignore[attr-defined]  # quantized
    assert (scheme.propagation, scheme.product.accumulate) == (Propagation.INHIBIT, "float32_sequential")
    assert scheme.weight == q.scheme.weight
    assert isinstance(found["kept"] + 1, QuantizedTensor)
    assert type(found["forgotten"] + 1) is Tensor


def test_an_export_that_drops_its_zero_point_gives_other_values(file: Path) -> None:
    """Burn on LibTorch: codes [127, 55, 113, -128] of [5, 0, 4, -12.7] are read back as if 55 were 0."""
    scheme = layer_scheme(mapping=Mapping.ASYMMETRIC, bits=8, qmin=-128, qmax=127, granularity=PerTensor())
    q = QuantizedTensor.from_float(
        torch.tensor([5, 0, 4, -12.7]), scheme, ENGINE.with_values("drops", exported_zero_point="dropped")
    )
    assert q.quantized.codes.tolist() == [127, 55, 113, -128]
    (back,) = through({"w": q}, file).values()
    assert isinstance(back, QuantizedTensor)
    assert [round(value, 1) for value in back.tolist()] == [8.8, 3.8, 7.8, -8.9]
    assert [round(value, 1) for value in q.tolist()] == [5.0, 0.0, 4.0, -12.7]


# --- refusals ---------------------------------------------------------------------------------------------------------

SPOILED: dict[str, Callable[[dict[str, Any], dict[str, Tensor]], object]] = {
    "its version is 2, and only version 1 is known here": lambda d, t: d.update(version=2),
    "the description has the field 'more', which is not known here": lambda d, t: d.update(more=1),
    "the description.quantized.w.contract.compared is 'dice', which is not known here": lambda d, t: d["quantized"][
        "w"
    ]["contract"].update(compared="dice"),
    "the description.quantized.w does not say 'scheme'": lambda d, t: d["quantized"]["w"].pop("scheme"),
    "it does not hold w.codes, which w consists of": lambda d, t: t.pop("w.codes"),
    r"w.scale is nothing in the file, and the scheme of w has torch.float32 \[4, 2\]": lambda d, t: t.pop("w.scale"),
    r"w.scale is torch.float16 \[4, 2\] in the file, and the scheme": lambda d, t: t.update(
        {"w.scale": t["w.scale"].half()}
    ),
    r"w.scale is torch.float32 \[2, 4\] in the file": lambda d, t: t.update({"w.scale": t["w.scale"].t().contiguous()}),
    r"w.codes is torch.uint8 \[4, 16\] in the file, and the scheme of w has torch.int8": lambda d, t: t.update(
        {"w.codes": t["w.codes"].view(torch.uint8)}
    ),
    r"w.minimum is torch.float32 \[4, 2\] in the file, and the scheme of w has nothing": lambda d, t: t.update(
        {"w.minimum": t["w.scale"].clone()}
    ),
    "group size 8 does not divide the last dimension": lambda d, t: t.update({"w.codes": t["w.codes"][:, :12].clone()}),
    r"w.codes is said to lie in the order \(0, 0\), but it has 2 dimensions": lambda d, t: d["order"].update(
        {"w.codes": [0, 0]}
    ),
    "v is the same as u, which the file does not hold": lambda d, t: d["shared"].update(v="u"),
}


@pytest.mark.parametrize("sentence", SPOILED)
def test_a_spoiled_file_is_refused(sentence: str, file: Path) -> None:
    save_tensors({"w": made()}, file)
    with safe_open(file, framework="pt") as opened:
        described = json.loads(opened.metadata()[METADATA_KEY])
    tensors = load_file(file)
    SPOILED[sentence](described, tensors)
    save_file(tensors, file, {METADATA_KEY: json.dumps(described)})
    with pytest.raises(ValueError, match=f"is not loaded: .*{sentence}"):
        load_tensors(file)


def test_files_of_others_are_refused(file: Path) -> None:
    torch.save({"w": numbers((2, 2))}, file)
    with pytest.raises(ValueError, match="only safetensors are, for a pickle can run code"):
        load_tensors(file)
    save_file({"w": numbers((2, 2))}, file)
    with pytest.raises(ValueError, match="has no description under 'quant_tensors', so save_tensors did not write it"):
        load_tensors(file)
    save_tensors({"w": made()}, file)
    with pytest.raises(ValueError, match="so save_quantized did not write it"):
        load_quantized(nn.Linear(2, 2), file)


def test_what_has_no_name_of_its_own_is_refused(file: Path) -> None:
    with pytest.raises(ValueError, match=r"^w.codes is the name of a tensor and of a part of a quantized one; rename"):
        save_tensors({"w.codes": numbers((2, 2)), "w": made()}, file)
    with pytest.raises(ValueError, match=r"^w.codes is the name of a tensor and"):
        save_tensors({"w": made(), "w.codes": numbers((2, 2))}, file)
    with pytest.raises(ValueError, match=r"does not end in \.safetensors"):
        save_tensors({"w": made()}, file.with_suffix(".pt"))
    assert not file.exists()
