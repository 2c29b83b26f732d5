"""torchao's validity tables, combination by combination: what is legal works, what is illegal raises."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import replace
from itertools import product
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from parity.backends.protocol import NotExpressible
from parity.backends.torchao import TorchaoBackend
from parity.backends.torchao_package import unusable
from parity.lanes import Flow, Lane
from quant import (
    Mapping,
    PerAxis,
    PerGroup,
    Quantized,
    TensorScheme,
    ZeroPointDomain,
    choose_qparams,
    dequantize,
    presets,
    quantize,
    rules_named,
)
from suites.validity_tables import (
    CHOOSERS,
    COMBINATIONS,
    CONFIG_DTYPES,
    CONFIG_GRANULARITIES,
    CONFIG_LEARNING,
    CONFIG_MAPPINGS,
    GROUPWISE,
    HELD_SCALES,
    HELD_ZERO_POINTS,
    READERS,
    ZERO_POINTS,
    Combination,
)

needs_torchao = pytest.mark.skipif(unusable() is not None, reason=unusable() or "")
X = torch.linspace(-1, 1, 64).reshape(2, 32)


# --- schemes, against choose_qparams with a domain and preserve_zero as arguments ----------------------------------


def scheme_of(combination: Combination, rules: str) -> TensorScheme:
    unsigned = combination.domain is ZeroPointDomain.FLOAT
    return TensorScheme(
        bits=4,
        qmin=0 if unsigned else -8,
        qmax=15 if unsigned else 7,
        granularity=PerGroup(32),
        mapping=combination.mapping,
        preserve_zero=combination.preserve_zero,
        zero_point_domain=combination.domain,
        zero_point_dtype=combination.zero_point_dtype,
        scale_dtype=torch.float32,
        eps=2.0**-23,
        rules=rules_named(rules)[0],
    )


@pytest.mark.parametrize("rules", ["torchao", "engine"])
@pytest.mark.parametrize("combination", COMBINATIONS, ids=str)
def test_a_combination_works_or_says_why_not(combination: Combination, rules: str) -> None:
    refusal = combination.refusal if rules == "torchao" else combination.refusal_of_engine
    if refusal:
        with pytest.raises(ValueError, match=f"^{refusal}"):
            scheme_of(combination, rules)
        return
    qparams = choose_qparams(X, scheme_of(combination, rules))
    read_back = dequantize(quantize(X, qparams), torch.float32)
    cut = combination.zero_point_dtype is torch.int32 and combination.domain is ZeroPointDomain.FLOAT
    assert (read_back - X).abs().max() <= (1.0 if cut else qparams.scale.max())
    assert (qparams.zero_point is None) == (combination.domain is ZeroPointDomain.NONE)
    if qparams.zero_point is not None:
        assert qparams.zero_point.dtype is combination.zero_point_dtype


def test_the_table_is_54_combinations_and_ours_refuse_more() -> None:
    """No dtype is inferred and no asymmetric range goes without a zero point; nothing torchao refused is taken."""
    assert len(set(COMBINATIONS)) == 54
    assert sum(combination.legal_then for combination in COMBINATIONS) == 30
    assert sum(not combination.refusal for combination in COMBINATIONS) == 14
    assert sum(not combination.refusal_of_engine for combination in COMBINATIONS) == 12
    for combination in COMBINATIONS:
        assert combination.legal_then or combination.refusal


def test_integer_without_preserve_zero_saturates_beside_zero() -> None:
    """Legal and of no use: a group that does not straddle zero is beyond the reach of its zero point."""
    combination = next(c for c in COMBINATIONS if not c.refusal and not c.preserve_zero and c.domain == "int")
    scheme, x = scheme_of(combination, "torchao"), X * 0.5 + 3.5
    qparams = choose_qparams(x, scheme)
    assert qparams.zero_point is not None
    assert qparams.zero_point.unique().tolist() == [-8]
    assert (dequantize(quantize(x, qparams), torch.float32) - x).abs().max() > 2.5


@pytest.mark.parametrize("domain", ZeroPointDomain)
def test_qparams_hold_a_zero_point_exactly_where_their_domain_has_one(domain: ZeroPointDomain) -> None:
    """torchao reads codes without a zero point in any domain, and codes with one that the NONE domain ignores."""
    scheme = scheme_of(next(c for c in COMBINATIONS if c.domain is domain and not c.refusal_of_engine), "engine")
    qparams = choose_qparams(X, scheme)
    assert isinstance(quantize(X, qparams), Quantized)
    absent = domain is ZeroPointDomain.NONE
    with pytest.raises(ValueError, match=f"^zero_point is {'given' if absent else 'None'} and zero_point_domain is"):
        replace(qparams, zero_point=torch.zeros(2, 1) if absent else None)


# --- torchao 0.18 itself -------------------------------------------------------------------------------------------


def primitives() -> Any:
    from torchao.quantization import quant_primitives

    return quant_primitives


def torchaos(mapping: Mapping) -> Any:
    names = {Mapping.SYMMETRIC_NO_CLIPPING: "SYMMETRIC_NO_CLIPPING_ERR"}
    return primitives().MappingType[names.get(mapping, mapping.name)]


@needs_torchao
@pytest.mark.parametrize(("function", "mapping"), CHOOSERS)
@pytest.mark.parametrize("zero_point_dtype", ZERO_POINTS, ids=str)
def test_who_chooses_qparams(function: str, mapping: Mapping, zero_point_dtype: torch.dtype | None) -> None:
    taken = CHOOSERS[function, mapping]
    with nullcontext() if taken else pytest.raises(AssertionError, match="Unsupported mapping type"):
        scale, _ = getattr(primitives(), function)(
            X, torchaos(mapping), (1, 32), torch.int32, -8, 7, zero_point_dtype=zero_point_dtype
        )
        assert scale.shape == (2, 1) or scale.shape == (2,)


@needs_torchao
@pytest.mark.parametrize(("function", "with_zero_point"), READERS)
def test_who_needs_a_zero_point(function: str, with_zero_point: bool) -> None:
    scale, zero_point = torch.full((2, 1), 0.125), torch.zeros(2, 1, dtype=torch.int32)
    given = zero_point if with_zero_point else None
    refused = READERS[function, with_zero_point]
    operand = X if function.lstrip("_").startswith("quantize") else torch.zeros(2, 32, dtype=torch.int32)
    with nullcontext() if refused is None else pytest.raises(refused):
        result: Tensor = getattr(primitives(), function)(operand, (1, 32), scale, given, torch.int32, -8, 7)
        assert result.shape == (2, 32)


@needs_torchao
@pytest.mark.parametrize("domain", GROUPWISE)
def test_groupwise_quantize_knows_two_domains(domain: ZeroPointDomain) -> None:
    from torchao.quantization.utils import groupwise_affine_quantize_tensor_from_qparams

    named = primitives().ZeroPointDomain[domain.name]
    refused = GROUPWISE[domain]
    with nullcontext() if refused is None else pytest.raises(refused, match="Unrecognized zero point domain"):
        groupwise_affine_quantize_tensor_from_qparams(X, torch.full((2, 1), 0.125), torch.zeros(2, 1), 4, 32, named)


@needs_torchao
@pytest.mark.parametrize("zero_point_dtype", HELD_ZERO_POINTS, ids=str)
@pytest.mark.parametrize("scale_dtype", HELD_SCALES, ids=str)
def test_which_qparams_the_unpacked_tensor_holds(scale_dtype: torch.dtype, zero_point_dtype: torch.dtype) -> None:
    from torchao.quantization import IntxUnpackedToInt8Tensor

    held = HELD_SCALES[scale_dtype] and HELD_ZERO_POINTS[zero_point_dtype]
    with nullcontext() if held else pytest.raises(AssertionError, match=r"(scale|zero_point) dtype must be"):
        IntxUnpackedToInt8Tensor(
            qdata=torch.zeros(2, 32, dtype=torch.int8),
            scale=torch.ones(2, 1, dtype=scale_dtype),
            zero_point=torch.zeros(2, 1, dtype=zero_point_dtype),
            target_dtype=torch.int4,
            block_size=(1, 32),
            dtype=torch.float32,
            activation_quantization=None,
        )


@needs_torchao
@pytest.mark.filterwarnings("ignore:Deprecation. TorchAODType")
@pytest.mark.parametrize("name", CONFIG_DTYPES)
def test_what_the_fake_quantize_config_takes(name: str) -> None:
    from torchao.quantization import granularity
    from torchao.quantization.qat import IntxFakeQuantizeConfig

    made = {
        "PerToken": granularity.PerToken(),
        "PerTensor": granularity.PerTensor(),
        "PerRow": granularity.PerRow(),
        "PerAxis(0)": granularity.PerAxis(0),
        "PerAxis(1)": granularity.PerAxis(1),
        "PerGroup(32)": granularity.PerGroup(32),
    }
    assert made.keys() == CONFIG_GRANULARITIES.keys()
    for shared, mapping, learning in product(made, CONFIG_MAPPINGS, CONFIG_LEARNING):
        parts = (CONFIG_DTYPES[name], CONFIG_GRANULARITIES[shared], CONFIG_MAPPINGS[mapping], CONFIG_LEARNING[learning])
        with nullcontext() if all(parts) else pytest.raises(ValueError, match=r"support|compatible|axis"):
            IntxFakeQuantizeConfig(
                getattr(torch, name),
                made[shared],
                torchaos(mapping),
                is_dynamic=learning[0],
                range_learning=learning[1],
            )


@needs_torchao
def test_a_symmetric_token_is_configured_and_then_not_implemented() -> None:
    from torchao.quantization.granularity import PerToken
    from torchao.quantization.qat import IntxFakeQuantizeConfig
    from torchao.quantization.qat.fake_quantizer import IntxFakeQuantizer

    made = IntxFakeQuantizer(IntxFakeQuantizeConfig(torch.int8, PerToken(), torchaos(Mapping.SYMMETRIC)))
    with pytest.raises(NotImplementedError, match="Symmetric per token"):
        made(X)


@needs_torchao
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16], ids=str)
@pytest.mark.parametrize("mapping", CONFIG_MAPPINGS)
def test_unpacked_to_int8_is_integer_and_holds_zero_under_any_mapping(mapping: Mapping, dtype: torch.dtype) -> None:
    """The layout's row: int zero points of int8, range widened to zero, three mappings; PerAxis and PerGroup."""
    layer = nn.Linear(64, 4, dtype=dtype)
    for group_size, bits in product((None, 32), range(1, 9)):
        if bits == 1 and mapping is Mapping.SYMMETRIC_NO_CLIPPING:
            continue  # [-1, 0] has no positive end, in a scheme and in torchao
        scheme = presets.intx_weight_only(bits=bits, group_size=group_size, mapping=mapping, rules="torchao")
        lane, x = Lane(backend="torchao", flow=Flow.PTQ), torch.ones(1, 64, dtype=dtype)
        stored = TorchaoBackend().trace(lane, layer, x, scheme)
        assert stored["weight.zero_point"].tensor.dtype is torch.int8
        for changes in ({"preserve_zero": False}, {"zero_point_dtype": torch.int32}, {"granularity": PerAxis(1)}):
            if "preserve_zero" in changes and mapping is not Mapping.ASYMMETRIC:
                continue
            with pytest.raises(NotExpressible):
                TorchaoBackend().trace(lane, layer, x, replace(scheme, weight=replace(scheme.weight, **changes)))
