"""A layer and its input that get smaller: rows go, columns go, values become zero, as long as a test of them holds."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

import torch
from torch import Tensor, nn

from parity.pair import Case

# The nearest value that passes is looked for this many steps of its dtype away, in this many of the greatest values.
_STEPS: Final = 32
_PLACES: Final = 4

Holds = Callable[["SmallCase"], bool]
Place = tuple[str, tuple[int, ...]]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class SmallCase:
    """weight [N, K], bias [N] or None, and x [M, K], or indices [M] of an embedding's rows."""

    weight: Tensor
    bias: Tensor | None
    x: Tensor

    @classmethod
    def of(cls, case: Case) -> SmallCase:
        """The case with its tokens in a row. Raises ValueError for what is no linear layer and no embedding."""
        if not isinstance(case.layer, nn.Linear | nn.Embedding):
            raise ValueError(f"{type(case.layer).__name__} is no linear layer and no embedding, so it is not shrunk")
        flat = case.x.reshape(-1, case.x.shape[-1]) if case.x.is_floating_point() else case.x.reshape(-1)
        return cls(weight=case.weight.clone(), bias=case.bias, x=flat.clone())

    @property
    def layer(self) -> nn.Module:
        """The float layer with these parameters, in eval mode."""
        rows, columns = self.weight.shape
        if not self.x.is_floating_point():
            return nn.Embedding(rows, columns, _weight=self.weight.clone()).eval()
        made = nn.Linear(columns, rows, bias=self.bias is not None, device="meta")
        made.weight = nn.Parameter(self.weight.clone())
        if self.bias is not None:
            made.bias = nn.Parameter(self.bias.clone())
        return made.eval()

    @property
    def operands(self) -> Mapping[str, Tensor]:
        """What holds values: weight, bias and x by name, without a bias that is none and x that is indices."""
        named = {"weight": self.weight, "bias": self.bias, "x": self.x}
        return {name: value for name, value in named.items() if value is not None and value.is_floating_point()}

    def smallest(self, holds: Holds) -> SmallCase:
        """As few rows and columns, and as many zeros, as the test leaves."""
        small = self._with_first(iter([replace(self, bias=None)]), holds)
        small = small._with_first(small._single_tokens(), holds)
        small = small._with_first(small._single_rows(), holds)._fewest_columns(holds)
        for name in small.operands:
            small = small._fewest_values(name, holds)
        return small._with_first(iter([small._packed()]), holds)._fewest_columns(holds)

    def nearest_passing(self, holds: Holds, first: Sequence[Place]) -> tuple[str, float] | None:
        """(`weight[0, 3]`, the value nearest to its own at which the test fails): in that place of an operand, or in
        one of the greatest values; None where none is near.
        """
        places = list(dict.fromkeys([*first, *self._greatest()]))[:_PLACES]
        for steps in range(1, _STEPS + 1):
            for name, index in places:
                for direction in (torch.inf, -torch.inf):
                    moved = self.operands[name].clone()
                    for _ in range(steps):
                        moved[index] = moved[index].nextafter(torch.full_like(moved[index], direction))
                    if not holds(replace(self, **{name: moved})):
                        return f"{name}[{', '.join(map(str, index))}]", float(moved[index].double())
        return None

    def _with_first(self, fewer: Iterator[SmallCase], holds: Holds) -> SmallCase:
        """The first of these for which the test holds, or the case as it is."""
        return next((case for case in fewer if holds(case)), self)

    def _single_tokens(self) -> Iterator[SmallCase]:
        for i in range(len(self.x) if len(self.x) > 1 else 0):
            yield replace(self, x=self.x[i : i + 1])

    def _single_rows(self) -> Iterator[SmallCase]:
        """One row of the weight, which every index then names."""
        for i in range(len(self.weight) if len(self.weight) > 1 else 0):
            bias = None if self.bias is None else self.bias[i : i + 1]
            x = self.x if self.x.is_floating_point() else torch.zeros_like(self.x)
            yield SmallCase(weight=self.weight[i : i + 1], bias=bias, x=x)

    def _columns(self, chosen: Tensor | slice) -> SmallCase:
        x = self.x[:, chosen] if self.x.is_floating_point() else self.x
        return replace(self, weight=self.weight[:, chosen], x=x)

    def _fewest_columns(self, holds: Holds) -> SmallCase:
        """One half or the other, as long as the test holds; groups need their size."""
        case = self
        while (half := case.weight.shape[1] // 2) and case.weight.shape[1] % 2 == 0:
            halves = [case._columns(slice(None, half)), case._columns(slice(half, None))]
            kept = next((each for each in halves if holds(each)), None)
            if kept is None:
                break
            case = kept
        return case

    def _fewest_values(self, name: str, holds: Holds) -> SmallCase:
        """Runs of an operand's values become zero, then values."""
        case = self
        size = case.operands[name].shape[-1]
        while size:
            for start in range(0, case.operands[name].shape[-1], size):
                fewer = case.operands[name].clone()
                fewer[..., start : start + size] = 0
                if not torch.equal(fewer, case.operands[name]) and holds(replace(case, **{name: fewer})):
                    case = replace(case, **{name: fewer})
            size //= 2
        return case

    def _packed(self) -> SmallCase:
        """Columns of zeros last."""
        matrices = [self.weight, self.x] if self.x.is_floating_point() else [self.weight]
        empty = torch.stack([(matrix == 0).all(0) for matrix in matrices]).all(0)
        return self._columns(empty.int().argsort(stable=True))

    def _greatest(self) -> Iterator[Place]:
        """Where the greatest finite values lie, over all operands."""
        found = [
            (-abs(float(value)), name, index)
            for name, operand in self.operands.items()
            for index in map(tuple, operand.nonzero().tolist())
            if (value := operand[index]).isfinite()
        ]
        yield from ((name, index) for _, name, index in sorted(found))
