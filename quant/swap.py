"""Replacing modules of a model in place: every occurrence of one module becomes the same new module."""

from __future__ import annotations

from collections.abc import Callable

from torch import nn

FilterFn = Callable[[nn.Module, str], bool]
Replace = Callable[[nn.Module], nn.Module | None]


def swap_modules(model: nn.Module, replace: Replace, filter_fn: FilterFn | None = None) -> tuple[nn.Module, int]:
    """(model, how many modules were replaced); the root itself is returned anew if it is one of them.

    `replace` gives the new module, or None to leave one as it is; `filter_fn(module, qualified_name)` says which are
    asked at all. A module reachable under several names is replaced once, everywhere.
    """
    replaced: dict[int, nn.Module] = {}
    keep_alive: list[nn.Module] = []  # an id is unique only while its module lives

    def replacement(module: nn.Module, name: str) -> nn.Module | None:
        if id(module) not in replaced and (filter_fn is None or filter_fn(module, name)):
            new = replace(module)
            if new is not None:
                new.train(module.training)
                replaced[id(module)] = new
                keep_alive.append(module)
        return replaced.get(id(module))

    new_root = replacement(model, "")
    if new_root is not None:
        return new_root, 1
    for parent_name, parent in list(model.named_modules(remove_duplicate=False)):
        for child_name, child in list(parent._modules.items()):
            if child is None:
                continue
            new = replacement(child, f"{parent_name}.{child_name}" if parent_name else child_name)
            if new is not None:
                parent._modules[child_name] = new
    return model, len(replaced)
