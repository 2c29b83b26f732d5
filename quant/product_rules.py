"""How two operands meet in a product: precision, accumulation, rescaling of codes, bias and output."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace

from quant import decisions as d
from quant.rules import check_members, parse_members

# What sums codes: int32, which is exact, or a float accumulator that takes one product after another.
CODE_ACCUMULATORS = (d.Accumulate.INT32, d.Accumulate.FLOAT32_SEQUENTIAL, d.Accumulate.FLOAT16_SEQUENTIAL)


@dataclass(frozen=True, slots=True, kw_only=True)
class ProductRules:
    """Every numeric decision of output = x @ w.T + bias. The defaults are torch's own linear.

    Raises ValueError when a field holds no member of its enumeration, or when two fields exclude each other.
    """

    product_operands: d.ProductOperands = d.ProductOperands.DEQUANTIZED
    operand_precision: d.OperandPrecision = d.OperandPrecision.NATIVE
    accumulate: d.Accumulate = d.Accumulate.NATIVE
    code_product_rescale: d.CodeProductRescale = d.CodeProductRescale.SCALES_FIRST
    bias_add: d.BiasAdd = d.BiasAdd.IN_ACCUMULATOR
    product_output: d.ProductOutput = d.ProductOutput.DIRECT

    def __post_init__(self) -> None:
        check_members(self)
        codes = self.product_operands == d.ProductOperands.CODES
        if not codes and self.accumulate == d.Accumulate.INT32:
            raise ValueError(
                "accumulate is int32 and product_operands is dequantized: int32 sums integer codes; use codes, or "
                "another accumulator"
            )
        if codes and self.accumulate not in CODE_ACCUMULATORS:
            raise ValueError(
                f"accumulate is {self.accumulate} and product_operands is codes: integers are summed in one of "
                f"{', '.join(CODE_ACCUMULATORS)}; use one of them, or dequantized operands"
            )
        if not codes and self.code_product_rescale != d.CodeProductRescale.SCALES_FIRST:
            raise ValueError(
                f"code_product_rescale is {self.code_product_rescale} and product_operands is dequantized: dequantized "
                "operands carry their scales already; use product_operands codes, or code_product_rescale scales_first"
            )
        if codes and self.bias_add == d.BiasAdd.IN_ACCUMULATOR:
            raise ValueError(
                "bias_add is in_accumulator and product_operands is codes: a float bias does not enter an integer sum; "
                "use before_output_cast or after_output_cast"
            )

        if not codes and self.product_output == d.ProductOutput.PROMOTED:
            raise ValueError(
                "product_output is promoted and product_operands is dequantized: only a sum of codes is promoted with "
                "the scales' dtypes; use direct, or product_operands codes"
            )
        if self.accumulate == d.Accumulate.NATIVE and self.bias_add == d.BiasAdd.BEFORE_OUTPUT_CAST:
            raise ValueError(
                "bias_add is before_output_cast and accumulate is native: a library's accumulator is not seen before "
                "its cast; use in_accumulator, after_output_cast, or another accumulator"
            )

    @classmethod
    def decisions(cls) -> tuple[str, ...]:
        """Names of the fields, in the order they act."""
        return tuple(f.name for f in fields(cls))

    def with_values(self, **values: str) -> ProductRules:
        """These rules with some decisions changed, given as members or as their text: `accumulate="native"`."""
        return replace(self, **parse_members(type(self), values))
