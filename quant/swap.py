"""Replacing modules of a model in place: every occurrence of one module becomes the same new module, or none does."""

from __future__ import annotations

from collections.abc import Callable

from torch import nn

FilterFn = Callable[[nn.Module, str], bool]
Replace = Callable[[nn.Module], nn.Module | None]


def swap_modules(model: nn.Module, replace: Replace, filter_fn: FilterFn | None = None) -> tuple[nn.Module, int]:
    """(model, how many modules were replaced); the root itself is returned anew if it is one of them.

    `replace` gives the new module, or None to leave one as it is; `filter_fn(module, qualified_name)` says which are
    asked at all. A module reachable under several names is replaced once, everywhere, if any of them is chosen. What
    `replace` raises leaves the model as it was.
    """
    new_modules: dict[nn.Module, nn.Module] = {}
    for name, module in model.named_modules(remove_duplicate=False):  # 1. make all of them, so that a refusal
        if module not in new_modules and (filter_fn is None or filter_fn(module, name)):  # leaves the model as it was
            new = replace(module)
            if new is not None:
                new_modules[module] = new.train(module.training)
    if model in new_modules:
        return new_modules[model], 1
    for parent in list(model.modules()):  # 2. put them in place
        for name, child in parent._modules.items():
            if child in new_modules:
                parent._modules[name] = new_modules[child]
    return model, len(new_modules)
