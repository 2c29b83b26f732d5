"""A proximal quantizing optimizer: any optimizer moves latent weights, and a map draws what the model computes by."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from quant.fake import fake_quantize
from quant.granularity import groups_of
from quant.parq.levels import levels_of
from quant.parq.proximal import ProximalMap
from quant.ptq import quantize_
from quant.qparams import choose_qparams
from quant.scheme import QuantScheme, TensorScheme
from quant.swap import FilterFn

LATENT, LEVELS, STEPS, RATE = "latent", "levels", "proximal_steps", "cumulative_rate"


def schemes_of(
    model: nn.Module, scheme: TensorScheme, filter_fn: FilterFn | None = None
) -> dict[nn.Parameter, TensorScheme]:
    """The scheme for the weight of every nn.Linear and nn.Embedding that the filter lets through."""
    return {
        module.weight: scheme
        for name, module in model.named_modules()
        if type(module) in (nn.Linear, nn.Embedding) and (filter_fn is None or filter_fn(module, name))
    }


class ProximalOptimizer:
    """step(): 1. weights become the latent ones again; 2. `base` moves them; 3. `proximal_map` draws them to the grid.

    The gradients are those of the model with the drawn weights. Levels are chosen anew every `period` steps after
    `warmup_steps` of `base` alone. With `shrink` a latent weight is divided by max(1, sum of learning rates) before it
    is drawn. Latent weights, levels and counts live in the state of `base`, whose state dict is all there is to save.

    Raises ValueError for a parameter that `base` does not move, and for counts out of range.
    """

    def __init__(
        self,
        base: Optimizer,
        schemes: Mapping[nn.Parameter, TensorScheme],
        proximal_map: ProximalMap,
        *,
        warmup_steps: int = 0,
        period: int = 1,
        shrink: bool = False,
    ) -> None:
        moved = {id(p) for group in base.param_groups for p in group["params"]}
        strangers = sum(id(p) not in moved for p in schemes)
        if strangers or not schemes:
            raise ValueError(
                f"{strangers} of {len(schemes)} parameters to quantize are not among those that the base optimizer "
                "moves; give at least one, and each of them to the base optimizer first"
            )
        if warmup_steps < 0 or period < 1:
            raise ValueError(
                f"warmup_steps is {warmup_steps} and period is {period}; use a warmup of 0 or more steps and a "
                "period of 1 or more"
            )
        self.base, self.schemes, self.proximal_map = base, dict(schemes), proximal_map
        self.warmup_steps, self.period, self.shrink = warmup_steps, period, shrink

    @property
    def steps(self) -> int:
        """How many steps were taken."""
        return int(self.base.param_groups[0].get(STEPS, 0))

    def zero_grad(self, set_to_none: bool = True) -> None:
        self.base.zero_grad(set_to_none)

    def state_dict(self) -> dict[str, Any]:
        return self.base.state_dict()

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.base.load_state_dict(state_dict)

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:
        """One step; `closure` gives the loss and its gradients at the weights that the model computes by."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        self.restore_latent()
        self.base.step()
        step = self.steps
        if step >= self.warmup_steps:
            for group in self.base.param_groups:
                group[RATE] = group.get(RATE, 0.0) + float(group["lr"])
                for p in group["params"]:
                    if p in self.schemes:
                        self._draw(p, self.schemes[p], step, max(1.0, group[RATE]) if self.shrink else 1.0)
        self.base.param_groups[0][STEPS] = step + 1
        return loss

    @torch.no_grad()
    def restore_latent(self) -> None:
        """Weights become what the base optimizer made of them; what was drawn to the grid is forgotten."""
        for p in self.schemes:
            if LATENT in self.base.state[p]:
                p.copy_(self.base.state[p][LATENT])

    def convert(self, model: nn.Module, scheme: QuantScheme) -> nn.Module:
        """quantize_ of the latent weights in place: the layers whose weights this optimizer quantizes.

        Raises ValueError where their scheme is not `scheme.weight`, and what quantize_ raises.
        """
        other = [own for own in self.schemes.values() if own != scheme.weight]
        if other:
            raise ValueError(f"the weights were trained for {other[0]}, not for the scheme's {scheme.weight}")
        self.restore_latent()
        return quantize_(model, scheme, lambda module, name: getattr(module, "weight", None) in self.schemes)

    def _draw(self, p: nn.Parameter, scheme: TensorScheme, step: int, shrinkage: float) -> None:
        """Step 3 for one weight, whose latent value is kept."""
        state: dict[str, Any] = self.base.state[p]
        state[LATENT] = p.detach().clone()
        if shrinkage > 1.0:
            p.div_(shrinkage)
        hard: Tensor | None = None
        if (step - self.warmup_steps) % self.period == 0 or LEVELS not in state:
            state[LEVELS] = torch.stack(levels_of(choose_qparams(p, scheme), p.dtype))
            hard = fake_quantize(p, scheme)
        groups = groups_of(scheme.granularity, tuple(p.shape))
        drawn = self.proximal_map(
            groups.split(p), None if hard is None else groups.split(hard), tuple(state[LEVELS]), groups, step
        )
        p.copy_(groups.join(drawn))
