"""without_nan(x) = x, none of whose values is a NaN."""

from torch import Tensor


def without_nan(x: Tensor, told: str) -> Tensor:
    """x itself. Raises ValueError where a value is a NaN: how many of how many, then what is `told` of them."""
    missing = int(x.isnan().sum())
    if missing:
        raise ValueError(f"{missing} of {x.numel()} {told}")
    return x
