"""One call of one of three functions, and what they would answer under any rules."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum
from functools import lru_cache
from typing import Final

import torch
from torch import Tensor

import quant
from parity.backends.functions import Functions
from parity.digest import digest
from quant import QParams, Quantized, Rules
from quant import decisions as d
from quant.scheme import ResolvedScheme

RAISED: Final = "raised"


class Step(StrEnum):
    """Which function is called."""

    CHOOSE = "choose_qparams"
    QUANTIZE = "quantize"
    DEQUANTIZE = "dequantize"


class Untellable(Exception):  # noqa: N818  (an answer about a question, not a fault)
    """Under these rules the function reads what the question does not hold, so it may answer anything."""


@lru_cache(maxsize=16384)
def under(scheme: ResolvedScheme, rules: Rules) -> ResolvedScheme:
    """The scheme with other rules. Raises ValueError where they give it no meaning."""
    return replace(scheme, rules=rules)


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What came back: tensors, none where the function raised, and a text that equals another's iff the bits do."""

    tensors: tuple[Tensor, ...]
    digest: str

    @classmethod
    def of(cls, *tensors: Tensor | None) -> Answer:
        """Tensors as one answer; an absent one is told from none."""
        found = tuple(each.detach().cpu() for each in tensors if each is not None)
        return cls(tensors=found, digest=" ".join("-" if each is None else digest(each.cpu()) for each in tensors))


REFUSED: Final = Answer(tensors=(), digest=RAISED)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Question:
    """The arguments of one call.

    x [groups, size] is what qparams are chosen for and what is quantized. own = scale and zero point are what the box
    chose for x just before, so that it may know more of them than it is told. ordinary = no NaN, no infinity, nothing
    near the ends of a dtype's range, no scale near eps. finite = the same question without its NaN, where raising is an
    answer too if that one is answered.
    """

    step: Step
    scheme: ResolvedScheme
    x: Tensor
    scale: Tensor | None = None
    zero_point: Tensor | None = None
    codes: Tensor | None = None
    output: torch.dtype = torch.float32
    own: bool = False
    ordinary: bool = True
    finite: Question | None = None

    def asked(self, box: Functions) -> Answer | None:
        """The box's answer; None where it gives none, whatever it raises: a scheme that it refuses tells nothing."""
        try:
            return self._call(box)
        except Exception:  # whatever a black box raises, it has not answered
            refuses = self.finite is not None and self.finite.asked(box) is not None
            return REFUSED if refuses else None

    def _call(self, box: Functions) -> Answer:
        if self.step is Step.CHOOSE:
            return Answer.of(*box.choose_qparams(self.x, self.scheme))
        assert self.scale is not None
        if self.step is Step.QUANTIZE:
            return Answer.of(box.quantize(self.x, self.scale, self.zero_point, self.scheme))
        assert self.codes is not None
        return Answer.of(box.dequantize(self.codes, self.scale, self.zero_point, self.scheme, self.output))

    def made(self, rules: Rules) -> Answer:
        """What the engine's path answers under these rules.

        Raises ValueError where they give the scheme no meaning, Untellable where they read what only a box that chose
        the qparams itself can know.
        """
        scheme = under(self.scheme, rules)
        if self.step is Step.CHOOSE:
            chosen = quant.choose_qparams(self.x, scheme)
            return Answer.of(chosen.scale, chosen.zero_point)
        qparams = self._qparams(scheme)
        if self.step is Step.QUANTIZE:
            try:
                return Answer.of(quant.quantize(self.x, qparams).codes)
            except ValueError:
                if self.finite is not None and rules.nan_code is d.NanCode.RAISE:
                    return REFUSED
                raise
        assert self.codes is not None
        return Answer.of(quant.dequantize(Quantized(codes=self.codes, qparams=qparams), self.output))

    def _qparams(self, scheme: ResolvedScheme) -> QParams:
        assert self.scale is not None
        given = QParams(scale=self.scale, zero_point=self.zero_point, scheme=scheme)
        if not self.reads_more(scheme.rules):
            return given
        if not self.own:
            raise Untellable
        # Both sources at once: choose_qparams keeps the unrounded scale for rules that read it anywhere.
        chosen = quant.choose_qparams(self.x, scheme)
        return replace(given, unrounded_scale=chosen.unrounded_scale, minimum=chosen.minimum)

    def reads_more(self, rules: Rules) -> bool:
        """Whether the called function reads what choose_qparams knew and does not return."""
        if self.step is Step.DEQUANTIZE:
            return rules.dequantize_scale is d.ScaleSource.UNROUNDED
        in_float_domain = self.scheme.zero_point_domain is quant.ZeroPointDomain.FLOAT
        from_minimum = in_float_domain and rules.float_code_origin is d.FloatCodeOrigin.MIN
        return self.step is Step.QUANTIZE and (rules.code_scale is d.ScaleSource.UNROUNDED or from_minimum)
