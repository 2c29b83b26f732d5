"""torchao's numeric epochs: what each of its flows put in place of a scheme, just before a pull request moved bits.

Newest first, each a short difference from the one after it. A flow is carried out by the engine's one path under the
rule set `torchao`; an epoch says only which values and decisions that flow had instead. PTQ is what torchao's intx
configs did, prepare and convert what its quantizers of 8da4w linear layers and of int4 embeddings did.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any, Final

import torch

from quant.eps import EpsOf, EpsProperty, PropertyDtype
from quant.mapping import Mapping as RangeMapping
from quant.rule_sets import rules_named
from quant.rules import Rules
from quant.scheme import MODEL, QuantScheme, TensorScheme

Values = Mapping[str, Any]

OF_WEIGHT: Final = "weight"  # in place of a dtype: that of the weight's scale, which the quantizer was told
_FLOAT32_EPS: Final = EpsOf(EpsProperty.EPS, PropertyDtype.FLOAT32)
_INPUT_EPS: Final = EpsOf(EpsProperty.EPS, PropertyDtype.INPUT)


@dataclass(frozen=True, slots=True, kw_only=True)
class Instead:
    """Values in place of a scheme's own: each name is a field of TensorScheme or a decision of Rules.

    `asymmetric_weight` acts beside `weight` where the weight's mapping is asymmetric, `embedding_output` is the output
    dtype of an embedding.
    """

    weight: Values = field(default_factory=dict)
    asymmetric_weight: Values = field(default_factory=dict)
    activation: Values = field(default_factory=dict)
    embedding_output: torch.dtype | None = None

    def over(self, later: Instead) -> Instead:
        """These values, and those of a later epoch wherever these say nothing."""
        return Instead(
            weight={**later.weight, **self.weight},
            asymmetric_weight={**later.asymmetric_weight, **self.asymmetric_weight},
            activation={**later.activation, **self.activation},
            embedding_output=self.embedding_output or later.embedding_output,
        )

    def carried_out(self, scheme: QuantScheme, *, embedding: bool) -> QuantScheme:
        """The scheme that a flow computed when it was asked for `scheme`, under the rule set `torchao`."""
        asymmetric = scheme.weight.mapping is RangeMapping.ASYMMETRIC
        weight = _with(scheme.weight, {**self.weight, **(self.asymmetric_weight if asymmetric else {})})
        activation = scheme.activation
        if activation is not None:
            values = {**self.activation}
            if values.get("scale_dtype") == OF_WEIGHT:
                values["scale_dtype"] = scheme.weight.scale_dtype
            activation = _with(activation, values)
        output = self.embedding_output if embedding and self.embedding_output is not None else scheme.output_dtype
        product = rules_named("torchao")[1]
        return replace(scheme, weight=weight, activation=activation, output_dtype=output, product=product)


def _with(scheme: TensorScheme, values: Values) -> TensorScheme:
    decisions = {name: value for name, value in values.items() if name in Rules.decisions()}
    others = {name: value for name, value in values.items() if name not in decisions}
    return replace(scheme, rules=rules_named("torchao")[0].with_values(**decisions), **others)


_AS_AFTER: Final = Instead()


@dataclass(frozen=True, slots=True, kw_only=True)
class Epoch:
    """What each flow put in place of a scheme until `pull` was merged on `date` (ISO), and what that one `moved`."""

    name: str
    pull: int = 0
    date: str = ""
    moved: str = ""
    ptq: Instead = _AS_AFTER
    qat_prepare: Instead = _AS_AFTER
    qat_convert: Instead = _AS_AFTER

    def before(
        self,
        pull: int,
        date: str,
        moved: str,
        *,
        ptq: Instead = _AS_AFTER,
        qat_prepare: Instead = _AS_AFTER,
        qat_convert: Instead = _AS_AFTER,
    ) -> Epoch:
        """The epoch that `pull` ended: this one, with what that pull request did away with."""
        return Epoch(
            name=f"before_{pull}",
            pull=pull,
            date=date,
            moved=moved,
            ptq=ptq.over(self.ptq),
            qat_prepare=qat_prepare.over(self.qat_prepare),
            qat_convert=qat_convert.over(self.qat_convert),
        )


# XNNPACK's zero point: from whichever end of the range it misses by less, rounded last.
_MIN_ERROR: Final = MappingProxyType({"zero_point_rule": "min_error", "zero_point_round_order": "subtract_first"})
_OLD_READING: Final = MappingProxyType(
    {"subtract_dtype": "int32", "gradient_mask": "none", "gradient_product": "identity"}
)
_FLOAT32_TOKENS: Final = MappingProxyType({"scale_dtype": torch.float32, "eps": _FLOAT32_EPS})

V0_18: Final = Epoch(
    name="0_18",
    qat_prepare=Instead(activation=_FLOAT32_TOKENS),
    qat_convert=Instead(activation=_FLOAT32_TOKENS),
)
BEFORE_4534: Final = V0_18.before(
    4534,
    "2026-06-26",
    "eps that nobody names: the dtype's machine epsilon became its smallest normal",
    ptq=Instead(weight={"eps": _INPUT_EPS}, activation={"eps": _INPUT_EPS}),
    qat_prepare=Instead(weight={"eps": _INPUT_EPS}),
    qat_convert=Instead(weight={"eps": _INPUT_EPS}),
)
BEFORE_2861: Final = BEFORE_4534.before(
    2861,
    "2025-08-26",
    "PTQ: a token's scale left float32 for the model's dtype; asymmetric weights widened their range to zero",
    ptq=Instead(asymmetric_weight={"preserve_zero": False}, activation=_FLOAT32_TOKENS),
)
BEFORE_2280: Final = BEFORE_2861.before(
    2280,
    "2025-06-03",
    "values are read back without int32 between; clipped weights no longer receive gradient",
    ptq=Instead(weight=_OLD_READING, activation=_OLD_READING),
    qat_prepare=Instead(weight=_OLD_READING, activation=_OLD_READING),
    qat_convert=Instead(weight=_OLD_READING, activation=_OLD_READING),
)
BEFORE_2180: Final = BEFORE_2280.before(
    2180,
    "2025-05-09",
    "a token's eps: that of the model's dtype became float32's",
    ptq=Instead(activation={"eps": _INPUT_EPS}),
    qat_prepare=Instead(activation={"eps": _INPUT_EPS}),
    qat_convert=Instead(activation={"eps": _INPUT_EPS}),
)
BEFORE_2085: Final = BEFORE_2180.before(
    2085,
    "2025-04-25",
    "a token's scale is float32 in every flow, convert keeps the scale dtype it was told, embeddings return floats",
    ptq=Instead(
        weight={"eps": _FLOAT32_EPS}, activation={"scale_dtype": torch.float64, "zero_point_dtype": torch.int64}
    ),
    qat_prepare=Instead(activation={"scale_dtype": OF_WEIGHT}),
    qat_convert=Instead(
        weight={"scale_dtype": torch.float32, "rescale_dtype": "scale"},
        activation={"scale_dtype": MODEL},
        embedding_output=torch.int64,
    ),
)
BEFORE_2060: Final = BEFORE_2085.before(
    2060,
    "2025-04-21",
    "prepare: a token's qparams come from choose_qparams_affine and no step is widened to float32",
    qat_prepare=Instead(
        weight={"eps": _FLOAT32_EPS},
        activation={**_MIN_ERROR, "eps": _FLOAT32_EPS, "code_dtype": "float32", "rescale_dtype": "float32"},
    ),
    qat_convert=Instead(weight={"eps": _FLOAT32_EPS}),
)
BEFORE_1964: Final = BEFORE_2060.before(
    1964,
    "2025-04-04",
    "convert: torchao's own primitives took the place of quantized_decomposed",
    qat_convert=Instead(
        weight={"zero_point_add": "before_round"},
        activation={
            **_MIN_ERROR,
            "scale_dtype": torch.float64,
            "zero_point_dtype": torch.int64,
            "eps": _FLOAT32_EPS,
            "zero_point_add": "before_round",
            "subtract_dtype": "int32",
            "rescale_dtype": "scale",
        },
    ),
)

EPOCHS: Final = (BEFORE_1964, BEFORE_2060, BEFORE_2085, BEFORE_2180, BEFORE_2280, BEFORE_2861, BEFORE_4534, V0_18)
