"""parity.NAME is imported when it is first asked for: `import parity` loads no torch, pandas or pyarrow.

    record = parity.compare("engine:ptq", "engine:qat_convert", scheme, dtype=torch.bfloat16)
    record.verdict, record.first_stage, record.stages["weight.codes"].n_different

Raises ImportError when kernels, quant or reports would come from somebody else's folder (parity.foreign).
"""

import sys
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING

from parity.foreign import refuse_foreign_packages

if TYPE_CHECKING:
    from parity.backends.functions import backend_from_functions
    from parity.backends.protocol import Backend
    from parity.capture import capture
    from parity.compare import assert_identical, compare
    from parity.explain import explain
    from parity.fingerprint import fingerprint
    from parity.lanes import lane
    from parity.run import run
    from parity.shrink import shrink

__all__ = [
    "Backend",
    "__version__",
    "assert_identical",
    "backend_from_functions",
    "capture",
    "compare",
    "explain",
    "fingerprint",
    "lane",
    "run",
    "shrink",
]

__version__ = "0.1.0"

HOME_OF = {
    "Backend": "parity.backends.protocol",
    "assert_identical": "parity.compare",
    "backend_from_functions": "parity.backends.functions",
    "capture": "parity.capture",
    "compare": "parity.compare",
    "explain": "parity.explain",
    "fingerprint": "parity.fingerprint",
    "lane": "parity.lanes",
    "run": "parity.run",
    "shrink": "parity.shrink",
}

refuse_foreign_packages()


class _Package(ModuleType):
    """`parity.run` is the function, whoever imported the module parity.run first."""

    def __setattr__(self, name: str, value: object) -> None:
        # Importing a submodule binds it on its package; where a public object has that name, the object stays.
        if not (name in HOME_OF and isinstance(value, ModuleType)):
            super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Package


def __getattr__(name: str) -> object:
    """The public object of that name, from the one module that defines it."""
    if name not in HOME_OF:
        raise AttributeError(f"module 'parity' has no attribute {name!r}; it has {', '.join(__all__)}.")
    value: object = getattr(import_module(HOME_OF[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
