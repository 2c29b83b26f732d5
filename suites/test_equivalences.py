"""Values that are said to be one: proved over 16-bit operands, tried on every kind of input, each condition needed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from parity.cli.claim_choice import chosen_claims
from parity.equivalences import EQUIVALENCES, Equivalence, merged
from parity.flips import flips_of
from parity.proving.claim import Claim
from parity.proving.counter import LanesCounter
from parity.proving.prove import prove
from parity.proving.space import space_of
from quant.rule_sets import RULE_SETS
from quant.scheme import ResolvedScheme
from suites.directed_groups import directed
from suites.quant_stages import Stages, differing, stages_of
from suites.test_rules import schemes

CLAIMS = sorted({words for row in EQUIVALENCES for words in row.proved_by})
GRADIENT: Stages = {"gradient": None}  # a proof is of forward steps
FORWARD = {"gradient_product": "identity", "float_gradient_product": "identity"}
RULES = {
    name: replace(rules.with_values(**FORWARD), refuse_lossy=False)
    for name, rules in RULE_SETS.items()
    if name in ("engine", "torchao", "inductor")
}
RULES["kept"] = RULES["engine"].with_values(float_rescale_dtype="float32")


each_row = pytest.mark.parametrize("row", EQUIVALENCES, ids=lambda row: f"{row.field}-{'-'.join(row.values)}")


def claims_of(words: str) -> tuple[Claim, ...]:
    """What `parity prove WORDS` would prove."""
    rules, _, options = words.partition(" --")
    given = dict(option.split(" ") for option in options.split(" --")) if options else {}
    known: dict[str, Any] = dict.fromkeys(
        ("against", "step", "dtype", "scale", "at_scale", "beside", "domain", "bits", "zero_point", "mapping")
    )
    return chosen_claims(
        rules.split(" "), tier="premerge", **known | {k.replace("-", "_"): v for k, v in given.items()}
    )


@pytest.mark.parametrize("words", CLAIMS)
def test_a_share_of_every_proof(words: str) -> None:
    for claim in claims_of(words):
        counter, n = LanesCounter.of(claim), space_of(claim).slices
        for i in (0, n // 2, n - 1):
            assert counter.count(range(i, i + 1)).differing == ()


@pytest.mark.nightly
@pytest.mark.parametrize("claim", [claim for words in CLAIMS for claim in claims_of(words)], ids=lambda claim: claim.id)
def test_every_proof(claim: Claim) -> None:
    proof = prove(claim)
    assert proof.proved, proof.sentence


@each_row
def test_proofs_are_of_what_the_row_says(row: Equivalence) -> None:
    """Both parties of each proof meet the condition, so it never reads the field itself, and have two of its values."""
    for claim in (claim for words in row.proved_by for claim in claims_of(words)):
        values = []
        for party in (claim.a, claim.b):
            assert row.holds(replace(claim.scheme(party), rules=_storing(claim, row, party.rules)), claim.torch_dtype)
            values.append(str(getattr(party.rules, row.field)))
        assert len({*values}) == 2
        assert {*values} <= {*row.values}


def _storing(claim: Claim, row: Equivalence, rules: Any) -> Any:
    """A proof of quantize sees stored codes alone, whatever prepare keeps."""
    return rules.with_values(code_cast="integer")


def cases() -> Iterator[tuple[ResolvedScheme, torch.dtype]]:
    """Legal schemes of every kind, with an eps that every dtype holds."""
    for rules in RULES.values():
        for scheme, dtype in schemes(rules):
            yield replace(scheme, eps=2.0**-10).resolved(dtype), dtype


def tried(row: Equivalence, limit: int | None) -> None:
    """At most so many schemes for which a row holds, spread over all of them."""
    held = [(scheme, dtype) for scheme, dtype in cases() if row.holds(scheme, dtype)]
    parted = 0
    for scheme, dtype in held[:: 1 if limit is None else -(-len(held) // limit)]:
        x = directed(scheme, dtype, finite=False)
        made = [(value, stages) for value in row.values if (stages := _stages(scheme, row.field, value, x)) is not None]
        for value, stages in made[1:]:
            assert differing(made[0][1] | GRADIENT, stages | GRADIENT) == [], (made[0][0], value, scheme, dtype)
            parted += 1
    assert parted


def _stages(scheme: ResolvedScheme, field: str, value: str, x: Tensor) -> Stages | None:
    """None where the value excludes another decision."""
    try:
        rules = scheme.rules.with_values(**{field: value})
        return stages_of(replace(scheme, rules=rules), x, torch.zeros_like(x))
    except ValueError:
        return None


@each_row
def test_values_are_one_on_any_input(row: Equivalence) -> None:
    """NaN and infinities among them, stored and pretended, of fp32 as well, where no proof can try everything."""
    tried(row, limit=10)


@pytest.mark.nightly
@each_row
def test_values_are_one_on_any_input_of_every_scheme(row: Equivalence) -> None:
    tried(row, limit=None)


KEPT = "engine,float_rescale_dtype=float32"


# --- conditions are needed ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "words",
    [
        "symmetric_scale=doubled_over_span --step choose_qparams",  # 2 a overflows: a bf16 range in float32
        f"rescale_fusion=fma --against {KEPT} --step dequantize --domain float --zero-point 15",  # so does 15 s
        "scalar_division=reciprocal_multiply --step choose_qparams --mapping asymmetric",  # a span has 24 bits
        "code_dtype=input",  # a bf16 quotient is rounded to 8 bits
        "eps_order=after_storage --against torchao --step choose_qparams --mapping asymmetric",  # z reads it unbounded
    ],
)
def test_outside_its_condition_a_value_is_another(words: str) -> None:
    (claim,) = claims_of(words)
    counter, n = LanesCounter.of(claim), space_of(claim).slices
    parts = (range(4), range(n // 2, n // 2 + 2), range(n - 2, n))
    assert sum(counter.count(part).n_different for part in parts) > 0
    field = words.partition("=")[0]
    one, other = (
        merged(claim.scheme(party), claim.torch_dtype, field, getattr(party.rules, field))
        for party in (claim.a, claim.b)
    )
    assert one is None or one != other


def test_attribution_tries_one_value_of_those_that_are_one() -> None:
    (claim,) = claims_of("subtract_dtype=output")
    tried_out = flips_of(claim.scheme(claim.b), torch.bfloat16, (4, 32), "dequantized")
    found = {(flip.field, flip.value) for flip in tried_out}
    assert not {flip for flip in found if flip[0] in ("subtract_dtype", "rescale_dtype", "zero_point_add_dtype")}
    assert ("code_dtype", "promoted") in found
    assert ("code_dtype", "float64") not in found
