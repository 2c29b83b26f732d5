"""QuantizedTensor: every operation's kind, scheme, dtype and bits, of contiguous, turned, sliced and broadcast inputs.

What is expected is dequantize -> operation -> (quantize anew) by the functions of the path, on plain tensors.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import replace
from functools import lru_cache
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils._pytree import tree_leaves

from quant import PerAxis, PerBlock, PerGroup, PerTensor, QuantizedTensor, QuantScheme, choose_qparams, quantize
from quant.burn import BlockLevel, burn_head
from quant.granularity import Granularity
from quant.propagation import Propagation
from quant.quantized_tensor import BURN_3042, BURN_HEAD, ENGINE, Contract, Kind
from quant.quantized_tensor.kinds import OPERATIONS
from suites import quantized_operations as rows
from suites.directed_groups import same_bits
from suites.quant_layers import layer_scheme, numbers

GRANULARITIES: tuple[Granularity, ...] = (PerTensor(), PerAxis(0), PerGroup(4), PerBlock((2, 4)))
FORMS: dict[str, tuple[tuple[int, ...], Callable[[Tensor], Tensor]]] = {
    "contiguous": ((4, 16), lambda t: t),
    "transposed": ((16, 4), lambda t: t.t()),
    "sliced": ((8, 32), lambda t: t[::2, 8:24]),
    "broadcast": ((1, 16), lambda t: t.expand(4, 16)),
}
HEAD = {name: row for name, (_, row) in rows.LATER.items()}
REQUANTIZE = rows.REQUANTIZE | {name: row for name, (kind, row) in rows.LATER.items() if kind is Kind.REQUANTIZE}
PROPAGATE = rows.PROPAGATE | {name: row for name, (kind, row) in rows.LATER.items() if kind is Kind.PROPAGATE}


def scheme(granularity: Granularity = PerTensor(), propagation: Propagation = Propagation.INHIBIT) -> QuantScheme:  # noqa: B008  # frozen
    return replace(layer_scheme(bits=8, qmin=-127, qmax=127, granularity=granularity), propagation=propagation)


@lru_cache(maxsize=64)
def tensors(
    granularities: tuple[Granularity, ...] = GRANULARITIES,
    propagation: Propagation = Propagation.INHIBIT,
    contract: Contract = ENGINE,
) -> tuple[QuantizedTensor, ...]:
    """[4, 16] in every form: moved and then quantized, and quantized and then moved; one of them in bf16."""
    made = []
    for granularity in granularities:
        of = scheme(granularity, propagation)
        made.append(QuantizedTensor.from_float(numbers((4, 16), torch.bfloat16), of, contract))
        for shape, form in FORMS.values():
            made.append(QuantizedTensor.from_float(form(numbers(shape)), of, contract))
            if shape != (4, 16) and not (isinstance(granularity, PerBlock) and shape[0] == 1):
                made.append(moved(form, QuantizedTensor.from_float(numbers(shape), of, contract)))
    return tuple(made)


def moved(form: Callable[[Tensor], Tensor], tensor: QuantizedTensor) -> QuantizedTensor:
    result = form(tensor)
    assert isinstance(result, QuantizedTensor)
    return result


def stored(tensor: QuantizedTensor) -> tuple[Tensor, ...]:
    return tensor.quantized.codes, tensor.quantized.qparams.scale


def expect_requantized(result: Any, expected: Any, of: QuantizedTensor) -> None:
    """Floats are quantized by the scheme of `of`, with scales of their own; indices are plain."""
    results, values = tree_leaves(result), tree_leaves(expected)
    assert len(results) == len(values)
    for leaf, value in zip(results, values, strict=True):
        if not value.is_floating_point():
            assert type(leaf) is Tensor
            assert same_bits(leaf, value)
            continue
        again = quantize(value, choose_qparams(value, of.tensor_scheme))
        assert type(leaf) is QuantizedTensor
        assert (leaf.scheme, leaf.contract, leaf.dtype) == (of.scheme, of.contract, value.dtype)
        assert leaf.tensor_scheme == of.tensor_scheme
        assert leaf.shape == value.shape
        for mine, its in zip(stored(leaf), (again.codes, again.qparams.scale), strict=True):
            assert same_bits(mine, its)


def expect_plain(result: Any, expected: Any) -> None:
    """Plain tensors, numbers or truth values, of the bits that the operation has on dequantized operands."""
    for leaf, value in zip(tree_leaves(result), tree_leaves(expected), strict=True):
        assert type(leaf) is type(value)
        assert same_bits(leaf, value) if isinstance(value, Tensor) else leaf == value


def fits(of: QuantizedTensor, expected: Any) -> bool:
    """Whether the scheme's granularity has blocks for every float result."""
    try:
        for value in tree_leaves(expected):
            if value.is_floating_point():
                of.tensor_scheme.granularity.block_shape(tuple(value.shape))
    except ValueError:
        return False
    return True


def test_every_operation_of_the_contract_has_a_row_of_its_kind() -> None:
    """Attributes are read off the contract itself; copy_ is in the suite of the tensor's life."""
    said: dict[Kind, dict[str, Any]] = {
        Kind.LAYOUT: rows.LAYOUT,
        Kind.DEVICE: rows.DEVICE | {"cuda": None},
        Kind.COPY: {"copy_": None},
        Kind.REQUANTIZE: REQUANTIZE,
        Kind.PROPAGATE: PROPAGATE,
        Kind.PRODUCT: rows.PRODUCT,
        Kind.INDEX: rows.INDEX,
        Kind.BOOL: rows.BOOL,
        Kind.FLOAT: rows.FLOAT,
        Kind.REFUSE: rows.REFUSE,
    }
    assert {*said} == {*Kind} - {Kind.ATTRIBUTE}
    for kind, table in said.items():
        assert not {name for name, of in OPERATIONS.items() if of is kind} - {*table}, kind


def test_attributes_are_those_of_a_plain_tensor() -> None:
    for q in tensors():
        plain = q.quantized.codes.to(q.dtype)  # keeps strides
        if q.storage_offset() or 0 in q.stride() or plain.stride() != q.stride():
            continue
        for name in (name for name, kind in OPERATIONS.items() if kind is Kind.ATTRIBUTE):
            mine, its = getattr(q, name), getattr(plain, name)
            if name not in rows.OF_ITS_OWN:
                assert (mine(), its()) == (its(), its()) if callable(its) else (mine, its) == (its, its), name
        assert q.data_ptr() == 0
        assert q._base is None
        assert q.requires_grad_(False) is q


@pytest.mark.parametrize("name", rows.REFUSE)
def test_what_writes_in_place_is_refused(name: str) -> None:
    for q in tensors():
        with pytest.raises(ValueError, match=r"would write into quantized storage, which has no meaning under one"):
            rows.REFUSE[name](q)


@pytest.mark.parametrize("name", rows.PRODUCT)
def test_products_follow_propagation(name: str) -> None:
    """On both sides every form, quantized or float: the exact product of values, and quantized anew by the left."""
    for propagation in Propagation:
        for q in tensors((PerTensor(),), propagation):
            right = numbers((16, 3), q.dtype, seed=5)
            other = QuantizedTensor.from_float(numbers((3, 16), q.dtype, seed=6), q.scheme, q.contract).t()
            assert isinstance(other, QuantizedTensor)
            for factor, value in ((right, right), (other, other.dequantize())):
                expected = rows.PRODUCT[name](q.dequantize().double(), value.double()).to(q.dtype)
                result = rows.PRODUCT[name](q, factor)
                if propagation is Propagation.PROPAGATE:
                    expect_requantized(result, expected, q)
                else:
                    expect_plain(result, expected)


@pytest.mark.gpu
def test_codes_on_another_device_are_the_same() -> None:
    for q in tensors():
        for there in (q.cuda(), q.to("cuda")):
            assert there.device.type == "cuda"
            assert isinstance(there, QuantizedTensor)
            assert all(part.device.type == "cuda" for part in there.parts())
            assert same_bits(there.dequantize().cpu(), q.dequantize())
            back = there.cpu()
            assert all(
                same_bits(mine, its) for mine, its in zip(stored(moved(Tensor.cpu, back)), stored(q), strict=True)
            )


def test_another_device_and_a_copy_have_every_part_of_their_own() -> None:
    """Also the scale above those of blocks; shapes and schemes stay."""
    levels = burn_head(level=BlockLevel((2, 4)), scale_dtype=torch.float8_e4m3fn, global_dtype=torch.float32)
    for of in (*map(scheme, GRANULARITIES), levels):
        q = QuantizedTensor.from_float(numbers((4, 16)), of)
        there = q.to("meta")
        assert isinstance(there, QuantizedTensor)
        assert (there.device.type, there.shape, there.described) == ("meta", q.shape, q.described)
        assert [part.device.type for part in there.parts()] == ["meta"] * len(q.parts())
        for copied in (q.to("cpu", copy=True), q.clone(), copy.deepcopy(q)):
            assert isinstance(copied, QuantizedTensor)
            assert all(part.data_ptr() != own.data_ptr() for part, own in zip(copied.parts(), q.parts(), strict=True))


@pytest.mark.parametrize("name", rows.LAYOUT | rows.DEVICE)
def test_layout_moves_codes_and_computes_nothing(name: str) -> None:
    row = (rows.LAYOUT | rows.DEVICE)[name]
    for q in tensors():
        if name.startswith("view"):  # refused by torch itself where memory is not in order
            q = moved(Tensor.contiguous, q)
        codes = tree_leaves(row(q.quantized.codes) if name in rows.LAYOUT else q.quantized.codes)
        values = tree_leaves(row(moved(Tensor.contiguous, q).dequantize()))
        for result, value, its in zip(tree_leaves(row(q)), values, codes, strict=True):
            assert type(result) is QuantizedTensor
            assert same_bits(result.dequantize(), value)
            assert same_bits(result.quantized.codes, its)
            assert result.scheme == q.scheme
            assert result.tensor_scheme == replace(q.tensor_scheme, granularity=result.tensor_scheme.granularity)
            assert (result.dtype, result.shape, result.contract) == (q.dtype, value.shape, q.contract)
            scales = {*q.quantized.qparams.scale.flatten().tolist()}
            assert {*result.quantized.qparams.scale.flatten().tolist()} <= scales


def test_layout_there_and_back_is_the_same_scheme() -> None:
    """Also where the blocks turned with the codes: a group of a row is a group of a column in between."""
    for granularity in (PerTensor(), PerAxis(0), PerBlock((2, 4))):
        q = QuantizedTensor.from_float(numbers((4, 16)), scheme(granularity))
        for back in (q.t().t(), q.flip(0).flip(0), q[None][0], q.unsqueeze(2).squeeze(2), torch.cat([q]).T.T):
            assert isinstance(back, QuantizedTensor)
            assert (back.scheme, back.tensor_scheme) == (q.scheme, q.tensor_scheme)
            assert all(same_bits(a, b) for a, b in zip(stored(back), stored(q), strict=True))


@pytest.mark.parametrize("name", REQUANTIZE)
def test_what_selects_codes_is_quantized_anew_whatever_the_propagation(name: str) -> None:
    for propagation in Propagation:
        for q in tensors((PerTensor(), PerGroup(4)), propagation):
            expected = REQUANTIZE[name](q.dequantize())
            if fits(q, expected):
                expect_requantized(REQUANTIZE[name](q), expected, q)
            else:
                with pytest.raises(ValueError, match=r"group size|axis is"):
                    REQUANTIZE[name](q)


@pytest.mark.parametrize("name", PROPAGATE)
def test_what_computes_follows_propagation(name: str) -> None:
    for q in tensors((PerTensor(), PerGroup(4)), Propagation.PROPAGATE):
        expected = PROPAGATE[name](q.dequantize())
        if fits(q, expected):
            expect_requantized(PROPAGATE[name](q), expected, q)
        else:
            with pytest.raises(ValueError, match=r"group size|axis is"):
                PROPAGATE[name](q)
    for q in tensors((PerTensor(), PerGroup(4))):
        expect_plain(PROPAGATE[name](q), PROPAGATE[name](q.dequantize()))


@pytest.mark.parametrize("name", rows.INDEX | rows.BOOL | rows.FLOAT)
def test_indices_truth_values_and_ambiguous_results_are_plain_whatever_the_propagation(name: str) -> None:
    row = (rows.INDEX | rows.BOOL | rows.FLOAT)[name]
    for propagation in Propagation:
        for q in tensors((PerTensor(), PerBlock((2, 4))), propagation):
            result, expected = row(q), row(q.dequantize())
            expect_plain(result, expected)
            dtypes = {leaf.dtype for leaf in tree_leaves(result) if isinstance(leaf, Tensor)}
            if name in rows.INDEX:
                assert dtypes == {torch.int64}
            elif name in rows.BOOL:
                assert dtypes <= {torch.bool}
            else:
                assert all(dtype.is_floating_point for dtype in dtypes)


@pytest.mark.parametrize("name", rows.LATER)
def test_what_came_later_is_float_in_burn_3042(name: str) -> None:
    kind, row = rows.LATER[name]
    assert (BURN_3042.kind_of(name), BURN_HEAD.kind_of(name), ENGINE.kind_of(name)) == (Kind.FLOAT, kind, kind)
    for q in tensors((PerTensor(),), Propagation.PROPAGATE, BURN_3042):
        expect_plain(row(q), row(q.dequantize()))
