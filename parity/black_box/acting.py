"""Which decisions a question's answer can depend on: those of its step that its scheme and numbers leave any say."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from functools import lru_cache
from typing import Final

import torch

from parity.black_box.question import Question, Step, under
from quant import Rules
from quant.relevance import relevant
from quant.rule_sets import ENGINE, TORCHAO
from quant.scheme import ResolvedScheme

_NAMES: Final = Rules.decisions()


def _between(first: str, last: str) -> frozenset[str]:
    return frozenset(_NAMES[_NAMES.index(first) : _NAMES.index(last) + 1])


_EVERYWHERE: Final = frozenset({"float64_cast", "subnormals"})
# How the qparams that a step is given are read.
_READ: Final = frozenset({"zero_scale", "zero_scale_at", "zero_point_offset"})
FIELDS: Final = {
    Step.CHOOSE: _between(_NAMES[0], "zero_point_offset") | _EVERYWHERE,
    Step.QUANTIZE: _between("code_scale", "nan_code") - {"code_cast"} | _READ | _EVERYWHERE,
    Step.DEQUANTIZE: _between("dequantize_scale", "operand_dtype") | _READ | _EVERYWHERE,
}
# Decisions that only show in training, or in the float codes of a fake quantizer, which no function returns.
UNSEEN: Final = tuple(name for name in _NAMES if not any(name in fields for fields in FIELDS.values()))

# Decisions about NaN, infinities, the ends of a dtype's range and scales near eps.
SPECIAL: Final = frozenset(
    {"range_nan", "eps_target", "eps_order", "scale_overflow", "zero_scale", "zero_scale_at", "nan_code"}
)

# Rules that between them let every field act that is not idle whatever the others are.
_WIDE: Final = dict.fromkeys(("qparam_dtype", "code_dtype", "rescale_dtype", "float_rescale_dtype"), "float64")
_SPREAD: Final = tuple(
    replace(base.with_values(**values), refuse_lossy=False)
    for base, values in (
        (ENGINE, {}),
        (TORCHAO, {"zero_scale": "one", "float_code_division": "reciprocal_multiply"}),
        (TORCHAO, _WIDE),
        (TORCHAO, {"code_dtype": "input"}),
        (TORCHAO, {"code_dtype": "scale"}),
    )
)
BASE: Final = replace(ENGINE, refuse_lossy=False)


def searched(question: Question) -> tuple[str, ...]:
    """The fields, in the order they act, that can move a bit of the answer under some rules or other."""
    fields = FIELDS[question.step] | (FIELDS[Step.CHOOSE] if question.own else frozenset())
    if question.ordinary:
        half = torch.float16
        narrow = half in (question.x.dtype, question.scheme.scale_dtype, question.scheme.zero_point_dtype)
        fields -= SPECIAL if narrow or question.output is half else SPECIAL | {"subnormals"}
    acting = _acting_under_some(question.scheme, question.x.dtype)
    if question.step is Step.DEQUANTIZE:
        acting |= _acting_under_some(question.scheme, question.output)
    return tuple(name for name in _NAMES if name in fields & acting)


def acting(question: Question, rules: Rules, fields: Iterable[str]) -> tuple[str, ...]:
    """Those of the fields that can move a bit of the answer beside these rules."""
    scheme = under(question.scheme, rules)
    own = FIELDS[question.step]
    if question.own and question.reads_more(rules):
        own |= FIELDS[Step.CHOOSE]
    try:
        able = {*relevant(scheme, question.x.dtype)}
        if question.step is Step.DEQUANTIZE:
            able |= {*relevant(scheme, question.output)}
    except ValueError:  # without a meaning for one of the two dtypes: whether it has one here, the answer will show
        return tuple(fields)
    return tuple(name for name in fields if name in able & own)


@lru_cache(maxsize=1024)
def _acting_under_some(scheme: ResolvedScheme, dtype: torch.dtype) -> frozenset[str]:
    found: set[str] = set()
    for rules in _SPREAD:
        try:
            found.update(relevant(replace(scheme, rules=rules), dtype))
        except ValueError:  # this scheme has no meaning under these rules
            continue
    return frozenset(found)
