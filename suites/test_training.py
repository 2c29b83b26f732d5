"""A small transformer trained through fake quantization: convert keeps every bit, and the loss beats PTQ's.

A few steps of what benchmarks/training.py does in hundreds.
"""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from quant import Mechanism, QuantScheme, convert, prepare, presets, quantize_
from quant.embedding import QuantizedEmbedding
from quant.linear import QuantizedLinear
from suites.directed_groups import same_bits
from suites.small_transformer import CONTEXT, Language, Transformer, evaluated, train

LANGUAGE = Language.invented()
SEEN, UNSEEN = LANGUAGE.text(4_000, seed=1), LANGUAGE.text(800, seed=2)
SCHEMES = {
    "weight_only": presets.intx_weight_only(bits=2, group_size=32),
    "8da4w": presets.int8_dynamic_int4_weight(group_size=32),
    "8da2w": presets.int8_dynamic_intx_weight(bits=2, group_size=32),
}


@pytest.fixture(scope="module")
def trained() -> nn.Module:
    """A float model that has learned the letters, not yet the words."""
    model = Transformer(width=32, depth=1)
    train(model, SEEN, 60, rate=1e-2, size=8)
    return model


@pytest.mark.parametrize("mechanism", Mechanism)
@pytest.mark.parametrize("name", SCHEMES)
def test_prepare_in_eval_is_what_convert_gives_and_better_than_ptq(
    trained: nn.Module, name: str, mechanism: Mechanism
) -> None:
    scheme = SCHEMES[name]
    prepared = prepare(copy.deepcopy(trained), scheme, mechanism=mechanism)
    train(prepared, SEEN, 12, rate=5e-3, size=8, seed=2)
    windows = UNSEEN[: 8 * CONTEXT].reshape(8, CONTEXT)
    with torch.no_grad():
        fake = prepared.eval()(windows)
        converted = convert(prepared)
        assert same_bits(converted(windows), fake)
    assert {type(converted.table), type(converted.head)} == {QuantizedEmbedding, QuantizedLinear}
    assert converted.head.weight_codes is converted.table.weight_codes
    assert not [part for part in converted.modules() if type(part) in (nn.Linear, nn.Embedding)]
    assert evaluated(converted, UNSEEN) < evaluated(ptq(trained, scheme), UNSEEN)


def test_both_mechanisms_train_alike(trained: nn.Module) -> None:
    """The same steps give the same weights, bit for bit."""
    outcomes = []
    for mechanism in Mechanism:
        prepared = prepare(copy.deepcopy(trained), SCHEMES["8da4w"], mechanism=mechanism)
        train(prepared, SEEN, 3, rate=5e-3, size=4, seed=2)
        outcomes.append(convert(prepared).state_dict())
    one, other = outcomes
    assert one.keys() == other.keys()
    assert not [name for name in one if not same_bits(one[name], other[name])]


def ptq(model: nn.Module, scheme: QuantScheme) -> nn.Module:
    return quantize_(copy.deepcopy(model), scheme)
