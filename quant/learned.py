"""Range learning: scale and zero point are Parameters, which the rules bound and round anew at every call.

With q the code, z the zero point, u = x / s + z before rounding and g the gradient of the value read back, for each
group (Esser et al. 2020; Bhalgat et al. 2020 for the zero point):

    grad_scale      = R(sum of g * (q - u) where u lies on the grid, of g * (q - z) where it is clipped)
    grad_zero_point = R(sum of -g * s where u is clipped), or of g in the FLOAT domain, whose z is a value

Terms are rounded to fp32, their sum is exact, and what bounds and rounds the Parameters passes gradients unchanged.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from kernels.exact_product import exact_product
from kernels.narrow import narrow
from quant.codes import unrounded_code_values
from quant.computed import qparam_dtype_of
from quant.device import op
from quant.fake import Operand, pretended
from quant.gradient import pass_through, straight_through_mask
from quant.granularity import Groups, Stacked, groups_of
from quant.mapping import Mapping, ZeroPointDomain
from quant.qparams import QParams, choose_qparams, qparams_of_range, qparams_of_values
from quant.quotient import scale_in_use, whole_zero_point, zero_point_in_use
from quant.scheme import TensorScheme


class LearnedQParams(nn.Module):
    """The scale and zero point that a tensor trains with, in the dtype in which the rules compute them.

    Parameters: scale, and zero_point where the mapping is asymmetric (a symmetric grid's middle is no choice). Of the
    shape of the weight's qparams; of shape [1] for an activation, and NaN there until `start`. The buffer `started`
    says whether they have had one.
    """

    scale: Tensor
    zero_point: Tensor | None
    started: Tensor

    def __init__(self, scheme: TensorScheme, weight: Tensor, shape: tuple[int, ...]) -> None:
        super().__init__()
        self.scheme = scheme
        dtype = qparam_dtype_of(scheme.resolved(weight.dtype), weight.dtype)
        unknown = torch.full(shape, torch.nan, dtype=dtype, device=weight.device)
        self.scale = nn.Parameter(unknown)
        self.zero_point = nn.Parameter(unknown.clone()) if scheme.mapping is Mapping.ASYMMETRIC else None
        self.register_buffer("started", torch.zeros((), dtype=torch.bool, device=weight.device))

    @classmethod
    def of_weight(cls, scheme: TensorScheme, weight: Tensor) -> LearnedQParams:
        """Those of a weight, which start from its own range."""
        made = cls(scheme, weight, groups_of(scheme.granularity, tuple(weight.shape)).qparam_shape)
        made._assign(choose_qparams(weight, scheme))
        return made

    @classmethod
    def of_activation(cls, scheme: TensorScheme, weight: Tensor) -> LearnedQParams:
        """Those of the input of a layer with this weight, which `start` will give their start."""
        return cls(scheme, weight, (len(weight) if isinstance(scheme.granularity, Stacked) else 1,))

    def start(self, low: Tensor, high: Tensor, dtype: torch.dtype) -> None:
        """Set the Parameters, in place, to the qparams of an observed range; inputs are of `dtype`."""
        self._assign(qparams_of_range(low, high, self.scheme.resolved(dtype)))

    def qparams(self, x: Tensor) -> QParams:
        """The Parameters as they are stored and used, for x; raises ValueError when they have no start yet."""
        resolved = self.scheme.resolved(x.dtype)
        declared = qparam_dtype_of(resolved, x.dtype)
        if self.scale.dtype is not declared:
            raise ValueError(
                f"the learned scale is {self.scale.dtype} and the scheme computes scales in {declared}: the model was "
                "cast after prepare; cast the float model and prepare it again"
            )
        if not torch.compiler.is_compiling() and not bool(self.started):
            raise ValueError(
                "the activation's statistic is learned and its scale has no start; calibrate(model, batches) before "
                "training, eval or convert"
            )
        shape = groups_of(resolved.granularity, tuple(x.shape)).qparam_shape
        zero_point = None if self.zero_point is None else self.zero_point.detach().reshape(shape)
        return qparams_of_values(self.scale.detach().reshape(shape), zero_point, resolved)

    def operand(self, x: Tensor) -> Operand:
        """x quantized in pretence by these qparams, with gradients to x, scale and zero_point."""
        qparams = self.qparams(x)
        unclamped, operand = pretended(x, qparams)
        leaves = (x, self.scale, self.zero_point)
        if torch.is_grad_enabled() and any(leaf is not None and leaf.requires_grad for leaf in leaves):
            mask = straight_through_mask(x, unclamped, qparams)
            dequantized = _Learned.apply(*leaves, operand, mask)  # type: ignore[no-untyped-call]  # autograd has no types
            return replace(operand, dequantized=dequantized)
        return operand

    def _assign(self, qparams: QParams) -> None:
        with torch.no_grad():
            self.scale.copy_(qparams.scale.reshape(self.scale.shape))
            zero_point = whole_zero_point(qparams)
            if self.zero_point is not None and zero_point is not None:
                self.zero_point.copy_(zero_point.reshape(self.zero_point.shape))
            self.started.fill_(True)


class _Learned(torch.autograd.Function):
    """dequantized forwards; the gradients of the module's docstring backwards."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, scale: Tensor, zero_point: Tensor | None, operand: Operand, mask: Tensor
    ) -> Tensor:
        ctx.save_for_backward(x)
        ctx.operand, ctx.mask = operand, mask
        ctx.shape, ctx.dtype = scale.shape, scale.dtype
        return operand.dequantized.clone()

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        (x,) = ctx.saved_tensors
        operand, mask, grad = ctx.operand, ctx.mask, grads[0]
        groups = groups_of(operand.qparams.scheme.granularity, tuple(x.shape))
        needs_x, needs_scale, needs_zero_point, *_ = ctx.needs_input_grad
        grad_x = grad_scale = grad_zero_point = None
        if needs_x:
            grad_x = pass_through(grad, mask, operand.qparams, x.dtype)
        if needs_scale:
            grad_scale = _summed(_scale_terms(grad, x, operand, mask, groups), groups, ctx.dtype).reshape(ctx.shape)
        if needs_zero_point:
            terms = _zero_point_terms(grad, operand.qparams, mask, groups)
            grad_zero_point = _summed(terms, groups, ctx.dtype).reshape(ctx.shape)
        return grad_x, grad_scale, grad_zero_point, None, None


def _scale_terms(grad: Tensor, x: Tensor, operand: Operand, mask: Tensor, groups: Groups) -> Tensor:
    """g * (q - u) on the grid and g * (q - z) beyond it; a grouped view in fp32."""
    qparams, rules = operand.qparams, operand.qparams.scheme.rules
    in_float_domain = qparams.scheme.zero_point_domain is ZeroPointDomain.FLOAT
    middle = None if in_float_domain else zero_point_in_use(qparams, groups)
    codes = groups.split(operand.codes).float()
    distance = codes - (qparams.scheme.midpoint if middle is None and in_float_domain else 0.0)
    distance = distance if middle is None else distance - middle.float()
    unrounded = groups.split(unrounded_code_values(x, qparams)).float()
    step = torch.where(groups.split(mask), op(codes - unrounded, rules), distance)
    return op(groups.split(grad).float() * step, rules)


def _zero_point_terms(grad: Tensor, qparams: QParams, mask: Tensor, groups: Groups) -> Tensor:
    """-g * s beyond the grid, or g where the zero point is a value; a grouped view in fp32."""
    rules, passed = qparams.scheme.rules, groups.split(grad).float()
    if qparams.scheme.zero_point_domain is not ZeroPointDomain.FLOAT:
        passed = op(-passed * scale_in_use(qparams, rules.dequantize_scale, groups).float(), rules)
    return torch.where(groups.split(mask), 0.0, passed)


def _summed(terms: Tensor, groups: Groups, dtype: torch.dtype) -> Tensor:
    """The exact sum of each group's terms, rounded once to fp32 or narrower; flat, in the order of the qparams."""
    kept = [i for i in range(terms.dim()) if i not in groups.reduced]
    rows = terms.permute(*kept, *groups.reduced).reshape(torch.Size(groups.qparam_shape).numel(), -1)
    ones = torch.ones(1, rows.shape[1], dtype=torch.float32, device=rows.device)
    total = exact_product(rows, ones, None, torch.float32).value
    return total.to(dtype) if dtype is torch.float64 else narrow(total, dtype)
