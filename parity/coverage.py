"""What a case visited of the places where formulas part, counted from a lane's trace and its resolved schemes."""

from __future__ import annotations

import torch
from torch import Tensor

from kernels import exact_product
from parity.trace import Trace
from quant import ProductRules, QuantScheme, TensorScheme, ZeroPointDomain
from quant.decisions import Accumulate, BiasAdd, ProductOperands
from quant.granularity import groups_of

RESUMMED = "resummed_outputs"
METERS = ("ties", "clamp_edges", "eps_active", "subnormal_scales", "saturated_zero_points")


def coverage(
    trace: Trace, scheme: QuantScheme, weight: Tensor, x: Tensor, bias: Tensor | None, cases: int
) -> list[dict[str, int]]:
    """For each of `cases` stacked cases, how many elements or groups met each meter, weight and input added.

    ties: x / scale is exactly half-way; clamp_edges: codes at qmin or qmax; eps_active: scales equal to eps;
    subnormal_scales: scales below their dtype's normal range; saturated_zero_points: asymmetric ones at qmin or qmax;
    resummed_outputs, where the product is exact: outputs that one float64 product does not prove.
    """
    totals = torch.zeros(len(METERS), cases, dtype=torch.int64)
    for side, tensor, tensor_scheme in (("weight", weight, scheme.weight), ("input", x, scheme.activation)):
        if tensor_scheme is not None and trace.find(f"{side}.codes") is not None:
            totals += torch.stack(_meters(trace, side, tensor, tensor_scheme.resolved(tensor.dtype), cases))
    visited = [dict(zip(METERS, counts, strict=True)) for counts in totals.T.tolist()]
    if x.is_floating_point() and _is_exact(scheme.product):
        for counts, resummed in zip(visited, _resummed(trace, x, bias), strict=True):
            counts[RESUMMED] = resummed
    return visited


def _is_exact(product: ProductRules) -> bool:
    dequantized = product.product_operands is ProductOperands.DEQUANTIZED
    return dequantized and product.accumulate is Accumulate.EXACT and product.bias_add is BiasAdd.IN_ACCUMULATOR


def _resummed(trace: Trace, x: Tensor, bias: Tensor | None) -> list[int]:
    """For each case, the outputs that the certificate of the exact product leaves open."""
    weight, read = trace["weight.dequantized"].tensor.cpu(), trace.find("input.dequantized")
    values = x if read is None else read.tensor
    rows = values.cpu().reshape(*weight.shape[:-2], -1, weight.shape[-1])
    dtype = trace["output"].tensor.dtype
    counts = exact_product(rows, weight, None if bias is None else bias.cpu(), dtype).counts[..., 0]
    return counts.reshape(-1).tolist()


def _meters(trace: Trace, side: str, x: Tensor, scheme: TensorScheme, cases: int) -> tuple[Tensor, ...]:
    stored, codes = trace[f"{side}.scale"].tensor, trace[f"{side}.codes"].tensor.cpu()
    scale = stored.cpu().double()
    groups = groups_of(scheme.granularity, tuple(x.shape))

    def per_case(hits: Tensor) -> Tensor:
        return hits.reshape(cases, -1).sum(1)

    zero = torch.zeros(cases, dtype=torch.int64)
    zero_point = trace.find(f"{side}.zero_point")
    saturated = zero
    origin: Tensor | float = 0.0
    if zero_point is not None and scheme.zero_point_domain == ZeroPointDomain.FLOAT:
        origin = groups.spread(zero_point.tensor.cpu()).double()
    elif zero_point is not None and scheme.mapping == "asymmetric":
        values = zero_point.tensor.cpu()
        saturated = per_case((values == scheme.qmin) | (values == scheme.qmax))
    quotient = (groups.split(x.cpu()).double() - origin) / groups.spread(scale)
    quotient += scheme.constant_zero_point % 1  # a grid of halves adds 1/2 before it rounds
    assert isinstance(scheme.scale_dtype, torch.dtype)
    eps = torch.tensor(scheme.eps, dtype=torch.float64).to(scheme.global_scale_dtype or scheme.scale_dtype).double()
    return (
        per_case((quotient - quotient.floor() == 0.5) & quotient.isfinite()),
        per_case((codes == scheme.code_min) | (codes == scheme.code_max)),
        per_case(scale == eps),
        per_case((scale != 0) & (scale.abs() < torch.finfo(stored.dtype).smallest_normal)),
        saturated,
    )
