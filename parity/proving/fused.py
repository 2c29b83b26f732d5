"""A counter that stores nothing: a Triton kernel makes both parties' codes in registers and counts where they differ.

Its proof is one of the kernel's own formulas on CUDA; that the engine's eager operations follow them is another claim.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from parity.proving.claim import Claim, Step
from parity.proving.counter import LanesCounter, Tally
from parity.proving.grid import Grid
from parity.proving.party import Party, Path
from quant import ZeroPointDomain
from quant import decisions as d
from quant.computed import code_dtype_of

if TYPE_CHECKING:
    from kernels.pair_proof_triton import CodeRule

DEVICE: Final = "cuda:triton"
_NAN_CODES: Final = (d.NanCode.ZERO, d.NanCode.QMIN, d.NanCode.QMAX)


@dataclass(frozen=True, kw_only=True, eq=False)
class FusedCounter:
    """Counts operands of quantize claims; where any differ, the eager lanes say in which slices."""

    space: Grid
    claim: Claim
    a: CodeRule
    b: CodeRule
    eager: LanesCounter
    grain: int
    device: str = DEVICE
    method: str = "a kernel made both parties' codes of every operand in registers and counted where they differ"

    @classmethod
    def of(cls, claim: Claim) -> FusedCounter:
        """Raises ValueError for a claim that the kernel has no formula for, and where there is no CUDA device."""
        from kernels.availability import missing_triton

        missing = missing_triton()
        if missing is not None:
            raise ValueError(f"{DEVICE} cannot run here: {missing}; use --device cpu")
        space = Grid.of(claim, "cuda")
        return cls(
            space=space,
            claim=claim,
            a=code_rule(claim, claim.a),
            b=code_rule(claim, claim.b),
            eager=LanesCounter.of(claim, "cuda"),
            grain=space.slices,
        )

    def count(self, part: range) -> Tally:
        """Raises ArithmeticError where the kernel and the eager lanes count differently."""
        found = sum(self._differing(part, zero_point) for zero_point in self.claim.zero_points)
        if not found:
            return Tally(pairs=len(part) * self.space.inputs.size * len(self.claim.zero_points))
        tally = self.eager.count(part)
        if tally.n_different != found:
            raise ArithmeticError(
                f"the fused kernel counts {found} differing operands of {self.claim.id} and the eager lanes "
                f"{tally.n_different}: one of them does not follow the rules"
            )
        return tally

    def _differing(self, part: range, zero_point: int) -> int:
        from kernels.pair_proof_triton import count_pairs

        qmin, qmax = self.claim.grid
        nan = dict(zip(_NAN_CODES, (0, qmin, qmax), strict=True))[self.claim.a.rules.nan_code]
        return sum(
            count_pairs(
                inputs, scales, self.a, self.b, zero_point=zero_point, qmin=qmin, qmax=qmax, nan_code=float(nan)
            )[0]
            for inputs, scales in self.space.tiles(part)
        )


def code_rule(claim: Claim, party: Party) -> CodeRule:
    """The kernel's formula for a party's codes. Raises ValueError, naming what it has none for."""
    from kernels.pair_proof_triton import CodeRule, Quotient, Rounding

    rules, scheme = party.rules, claim.scheme(party)
    computed = code_dtype_of(scheme, claim.torch_dtype)
    in_input, in_float32 = computed is claim.torch_dtype, str(computed) == "torch.float32"
    adds_first = rules.zero_point_add is d.ZeroPointAdd.BEFORE_ROUND
    roundings = {
        d.CodeRounding.HALF_EVEN: Rounding.HALF_EVEN,
        d.CodeRounding.HALF_AWAY: Rounding.HALF_AWAY,
        d.CodeRounding.TRUNCATE: Rounding.TRUNCATE,
    }
    lacks = {
        "the step": claim.step is not Step.QUANTIZE or party.path is not Path.PUBLIC,
        "domain float": claim.domain is ZeroPointDomain.FLOAT,
        "a scale of another dtype than the input's": claim.scale_dtype is not claim.torch_dtype,
        f"codes computed in {computed}": not (in_input or in_float32),
        f"code_rounding {rules.code_rounding}": rules.code_rounding not in roundings,
        f"code_clamp {rules.code_clamp}": rules.code_clamp is not d.CodeClamp.AFTER_ROUND,
        f"zero_point_add {rules.zero_point_add}": rules.zero_point_add is d.ZeroPointAdd.BEFORE_ROUND_FMA
        or (adds_first and not in_float32),
        f"nan_code {rules.nan_code}": rules.nan_code is not claim.a.rules.nan_code or rules.nan_code not in _NAN_CODES,
        f"subnormals {rules.subnormals}": rules.subnormals is not d.Subnormals.KEEP,
    }
    missing = [what for what, lacking in lacks.items() if lacking]
    if missing:
        raise ValueError(f"the fused kernel has no formula for {missing[0]} of {party.name}; use --device cuda or cpu")
    to_scale = rules.reciprocal_dtype is d.ReciprocalDtype.SCALE
    if rules.code_division is d.CodeDivision.DIVIDE:
        quotient = Quotient.DIVIDE_INPUT if in_input else Quotient.DIVIDE
    elif in_input:
        quotient = Quotient.RECIPROCAL_CHAIN
    else:
        quotient = Quotient.RECIPROCAL_INPUT if to_scale else Quotient.RECIPROCAL_FLOAT32
    return CodeRule(quotient=quotient, rounding=roundings[rules.code_rounding], adds_first=adds_first)
