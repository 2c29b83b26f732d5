"""chosen_claims(...) = the claims that the words of `parity prove` name."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from typing import Final

from parity.proving.claim import Claim, Step, grid_of
from parity.proving.claims import claims_of
from parity.proving.operands import telling_zero_points
from parity.proving.party import Path, other_party, party_of
from quant import Mapping, ZeroPointDomain

_ENGINE: Final = "engine"


def chosen_claims(
    rules: Sequence[str],
    *,
    against: str | None,
    tier: str,
    step: str | None,
    dtype: str | None,
    scale: str | None,
    at_scale: str | None,
    beside: str | None,
    domain: str | None,
    bits: str | None,
    zero_point: str | None,
    mapping: str | None,
) -> tuple[Claim, ...]:
    """Without a field, `against` and scales, those of a set's own claims that have the values given; else one of each.

    Raises ValueError for names there are not, and where nothing is left.
    """
    domains = [ZeroPointDomain(_one_of(text, ZeroPointDomain)) for text in _list(domain)]
    dtypes, widths = _list(dtype), [_whole(text, "--bits") for text in _list(bits)]
    steps = [] if step is None else [Step(_one_of(step, Step))]
    mappings = [] if mapping is None else [Mapping(_one_of(mapping, Mapping))]
    scales = tuple(_number(text, "--at-scale") for text in _list(at_scale))
    others = tuple(_number(text, "--beside") for text in _list(beside))
    if against is None and not scales and not any("=" in rule for rule in rules):
        claims = tuple(
            claim
            for claim in claims_of(party_of(rules, _ENGINE), tier)
            if (not steps or claim.step in steps)
            and (not dtypes or claim.dtype in dtypes)
            and (scale is None or claim.scale == scale)
            and (not domains or claim.domain in domains)
            and (not widths or claim.bits in widths)
            and (not mappings or claim.mapping in mappings)
            and (zero_point is None or claim.zero_points == _zero_points(zero_point, claim.domain, claim.bits))
        )
        if not claims:
            raise ValueError(f"no claim of the {tier} tier has these values; --tier nightly has more")
        return claims
    held_against = (_ENGINE if any("=" in rule for rule in rules) else Path.ORACLE) if against is None else against
    party = party_of([*_base(rules, held_against), *rules], _ENGINE)
    other = other_party(held_against, party)
    return tuple(
        Claim(
            step=steps[0] if steps else Step.QUANTIZE,
            a=party,
            b=other,
            dtype=each,
            scale=each if scale is None else scale,
            scales=scales,
            domain=zone,
            bits=width,
            zero_points=_zero_points(zero_point or "0", zone, width),
            mapping=mappings[0] if mappings else Mapping.SYMMETRIC,
            beside=others,
        )
        for each, zone, width in product(dtypes or ["bf16"], domains or [ZeroPointDomain.INT], widths or [4])
    )


def _base(rules: Sequence[str], against: str) -> list[str]:
    """What fields alone are tried on: the set they are held against, if that is one. A set among them is their own."""
    names_a_set = any("=" not in rule for rule in rules)
    is_no_set = against in (Path.ORACLE, Path.STORED, Path.FUSED) or against.startswith("backend:")
    return [] if names_a_set or is_no_set else against.split(",")


def _list(text: str | None) -> list[str]:
    return [] if text is None else text.split(",")


def _zero_points(text: str, domain: ZeroPointDomain, bits: int) -> tuple[int, ...]:
    qmin, qmax = grid_of(domain, bits)
    if text == "all":
        return tuple(range(qmin, qmax + 1))
    if text == "telling":
        return telling_zero_points(qmin, qmax)
    return tuple(_whole(each, "--zero-point") for each in text.split(","))


def _whole(text: str, option: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise ValueError(f"{option} {text!r} is no whole number") from None


def _number(text: str, option: str) -> float:
    """A float by its hexadecimal or its decimal name."""
    try:
        return float.fromhex(text) if "x" in text.lower() else float(text)
    except ValueError:
        raise ValueError(f"{option} {text!r} is no number; write 0x1.8p-3 or 0.1875") from None


def _one_of(text: str, members: type[Step] | type[ZeroPointDomain] | type[Mapping]) -> str:
    values = [member.value for member in members]
    if text not in values:
        raise ValueError(f"{text!r} is none of {', '.join(values)}")
    return text
