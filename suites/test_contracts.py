"""Each decision of a contract: what it does where it acts, and that it does nothing anywhere else."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from quant import PerGroup, PerTensor, QuantizedTensor, QuantScheme, choose_qparams, quantize
from quant.dequantize import dequantize
from quant.granularity import Granularity
from quant.layouts import u32
from quant.quantized_tensor import BURN_HEAD_FLEX, BURN_HEAD_NDARRAY, CONTRACTS, ENGINE, Contract
from quant.rules import enumeration_of
from suites.directed_groups import same_bits
from suites.quant_layers import layer_scheme, numbers

BLOCKS = torch.tensor([[1.0, 2, 3, 4], [10, 20, 30, 40]])


def scheme(granularity: Granularity = PerGroup(4), *, bits: int = 8, full: bool = False) -> QuantScheme:  # noqa: B008  # frozen
    top = 2 ** (bits - 1) - 1
    return layer_scheme(bits=bits, qmin=-top - full, qmax=top, granularity=granularity)


def made(x: Tensor, of: QuantScheme | None = None, **decisions: str) -> QuantizedTensor:
    return QuantizedTensor.from_float(x, of or scheme(), ENGINE.with_values("tried", **decisions))


def quantized(x: object) -> QuantizedTensor:
    assert isinstance(x, QuantizedTensor)
    return x


# --- contracts as data ------------------------------------------------------------------------------------------------


def test_every_decision_has_the_engine_s_value_first() -> None:
    for field in Contract.decisions():
        assert getattr(ENGINE, field) is next(iter(enumeration_of(Contract, field))), field
    assert all(contract.name == name for name, contract in CONTRACTS.items())
    assert len({*CONTRACTS.values()}) == len(CONTRACTS)


def test_a_value_that_a_decision_has_not_is_a_sentence() -> None:
    with pytest.raises(ValueError, match=r"^compared is 'scales'; its values are values, codes$"):
        ENGINE.with_values(compared="scales")
    with pytest.raises(ValueError, match="Contract has no decision 'comparison'"):
        ENGINE.with_values(comparison="codes")
    with pytest.raises(ValueError, match="compared is 'codes'; it must be a Compared, one of values, codes"):
        replace(ENGINE, compared="codes")  # type: ignore[arg-type]  # the text in place of the member


def test_operands_of_contracts_with_one_name_and_other_decisions_do_not_meet() -> None:
    with pytest.raises(ValueError, match="the contracts tried and tried; one operation follows one"):
        made(BLOCKS) + made(BLOCKS, compared="codes")


# --- layout -----------------------------------------------------------------------------------------------------------


def test_scales_that_stay_make_a_flip_return_what_it_was_given() -> None:
    """Both rows have the same codes."""
    q = made(BLOCKS, moved_scales="in_place")
    assert same_bits(q.flip(0).dequantize(), q.dequantize())
    assert same_bits(made(BLOCKS).flip(0).dequantize(), q.dequantize().flip(0))


def test_scales_that_stay_must_be_as_many_as_blocks() -> None:
    q = made(BLOCKS, moved_scales="in_place")
    with pytest.raises(ValueError, match=r"^moved_scales is in_place and codes of shape \(1, 4\) have 1 blocks of"):
        q[:1]
    whole = made(BLOCKS, scheme(PerTensor()), moved_scales="in_place")
    assert same_bits(whole[:1].dequantize(), whole.dequantize()[:1])  # one scale is the scale of any part


@pytest.mark.parametrize("move", [lambda t: t.flip(0), lambda t: t[None][0], lambda t: t.reshape(2, 2, 2).view(2, 4)])
def test_blocks_that_are_quantized_anew_drift_on_a_full_range_alone(move: Callable[[Tensor], Tensor]) -> None:
    x = torch.tensor([[1, 0.3, 0.2, 0.1], [-1, 0.5, 0.25, 0.4]])
    for full in (False, True):
        q = made(x, scheme(PerGroup(2), bits=4, full=full), layout_codes="requantized")
        assert same_bits(quantized(move(q)).dequantize(), move(q.dequantize())) is not full
        whole = made(x, scheme(PerTensor(), bits=4, full=full), layout_codes="requantized")
        assert same_bits(quantized(move(whole)).dequantize(), move(whole.dequantize()))


def test_what_moves_nothing_is_not_quantized_anew() -> None:
    q = made(numbers((4, 16)), scheme(full=True, bits=4), layout_codes="requantized", moved_scales="in_place")
    for same in (q.clone(), q.contiguous(), q.detach(), q.data):
        assert same_bits(quantized(same).quantized.codes, q.quantized.codes)


# --- comparisons ------------------------------------------------------------------------------------------------------


def test_codes_of_two_blocks_compared_say_the_first_row() -> None:
    """argmax(0) of codes that are alike is 0 everywhere; max gathers by it."""
    q, own = made(BLOCKS, compared="codes"), made(BLOCKS)
    assert (q.argmax(0).tolist(), own.argmax(0).tolist()) == ([0, 0, 0, 0], [1, 1, 1, 1])
    assert q.argmax().item() == 3  # 127 of the first block
    values, indices = q.max(0)
    assert indices.tolist() == [0, 0, 0, 0]
    assert same_bits(quantized(values).dequantize(), own.requantized(own.dequantize()[0]).dequantize())
    whole = made(BLOCKS, scheme(PerTensor()), compared="codes")
    assert same_bits(whole.argmin(1), whole.dequantize().argmin(1))
    assert whole.min(1, keepdim=True).indices.tolist() == [[0], [0]]
    assert quantized(whole.max()).dequantize().item() == 40.0
    assert same_bits(torch.maximum(whole, whole), whole.dequantize())


@pytest.mark.parametrize("contract", [BURN_HEAD_NDARRAY, BURN_HEAD_FLEX], ids=lambda contract: contract.name)
def test_backends_of_2026_compare_codes(contract: Contract) -> None:
    assert QuantizedTensor.from_float(BLOCKS, scheme(), contract).argmax(0).tolist() == [0, 0, 0, 0]


# --- memory -----------------------------------------------------------------------------------------------------------


def test_a_transposed_matrix_read_as_it_lies_is_another() -> None:
    """User report of 2026: 64 x 32, transposed, is read back a hundred times further off."""
    turned = (torch.arange(32 * 64) * 0.618034).remainder(1).reshape(32, 64).t()
    for granularity in (PerTensor(), PerGroup(32)):
        errors = []
        for order in ("index", "memory"):
            q = made(turned, scheme(granularity), source_order=order)
            errors.append((q.dequantize() - turned).abs().max().item())
            assert same_bits(
                made(turned.contiguous(), scheme(granularity), source_order=order).dequantize(),
                made(turned, scheme(granularity)).dequantize(),
            )
        assert errors[1] > 100 * errors[0]
        lies = turned.t().reshape(64, 32)
        assert same_bits(q.dequantize(), made(lies, scheme(granularity)).dequantize())


def test_memory_ends_somewhere() -> None:
    with pytest.raises(ValueError, match="holds 16 elements in 4 places of memory: reading them one after another"):
        made(torch.ones(1, 4).expand(4, 4), source_order="memory")


@pytest.mark.parametrize(
    ("shape", "turn"),
    [
        ((8, 32), lambda t: t.t()),
        ((2, 8, 16), lambda t: t.permute(1, 2, 0)),
        ((2, 8, 16), lambda t: t.permute(2, 0, 1)),
    ],
)
def test_words_taken_apart_along_the_wrong_dimension(shape: tuple[int, ...], turn: Callable[[Tensor], Tensor]) -> None:
    """As if the words of a turned tensor were unpacked to the end of it: by the packing itself."""
    for bits in (8, 4):
        q = made(numbers(shape), scheme(PerTensor(), bits=bits), packed_axis="last")
        assert same_bits(q.dequantize(), made(numbers(shape), scheme(PerTensor(), bits=bits)).dequantize())
        words = turn(u32.pack(q.quantized.codes, bits)).contiguous()
        unpacked = u32.unpack(words.reshape(-1), bits, q.numel()).reshape(turn(q).shape)
        expected = dequantize(replace(quantized(turn(q)).quantized, codes=unpacked), torch.float32)
        assert same_bits(turn(q).dequantize(), expected)
        assert not same_bits(turn(q).dequantize(), turn(q.dequantize()).contiguous())


def test_words_that_rows_do_not_fill_are_a_sentence() -> None:
    q = made(numbers((3, 6)), scheme(PerTensor()), packed_axis="last")
    with pytest.raises(ValueError, match="packed_axis is last and dimension 0 has 6 codes of 8 bits, 4 to a word"):
        q.t().dequantize()


def test_quantizing_is_the_path_s() -> None:
    """A contract decides what is read, never how it is quantized."""
    x = numbers((4, 16))
    own = quantize(x, choose_qparams(x, scheme().weight))
    for contract in CONTRACTS.values():
        q = QuantizedTensor.from_float(x, scheme(), contract)
        assert same_bits(q.quantized.codes, own.codes)
        assert same_bits(q.quantized.qparams.scale, own.qparams.scale)
