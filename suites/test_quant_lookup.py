"""A lookup's gradient is the exact sum over its places: against rationals, and whatever the order of the places."""

from fractions import Fraction

import torch

from quant.lookup import lookup


def gradient(indices: torch.Tensor, grad: torch.Tensor, padding_idx: int | None = None) -> torch.Tensor:
    table = torch.zeros(4, grad.shape[-1], dtype=grad.dtype, requires_grad=True)
    lookup(table, indices, padding_idx).backward(grad)
    assert table.grad is not None
    return table.grad


def test_values_are_the_rows() -> None:
    table = torch.arange(8.0).reshape(4, 2)
    indices = torch.tensor([[3, 0], [3, 1]])
    assert torch.equal(lookup(table, indices, None), table[indices])


def test_the_gradient_is_the_exact_sum_in_any_order() -> None:
    values = [2048.0, 1.0, 1.0, -2048.0, 0.5, 2.0**-14]
    grad = torch.tensor(values, dtype=torch.float16).reshape(-1, 1)
    indices = torch.zeros(len(values), dtype=torch.int64)
    exact = float(sum(map(Fraction, values)))
    for order in (torch.arange(6), torch.arange(6).flip(0), torch.tensor([3, 1, 4, 0, 5, 2])):
        assert gradient(indices, grad[order])[0].item() == torch.tensor(exact, dtype=torch.float16).item()


def test_rows_that_were_not_read_and_the_padding_row_get_none() -> None:
    found = gradient(torch.tensor([1, 2, 1]), torch.ones(3, 2), padding_idx=2)
    assert found.tolist() == [[0.0, 0.0], [2.0, 2.0], [0.0, 0.0], [0.0, 0.0]]
