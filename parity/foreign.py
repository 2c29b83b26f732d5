"""`import parity` succeeds only if kernels, quant and reports would be imported from beside parity itself.

Those names exist on PyPI and in other people's repositories, and Python takes the first it finds. Nothing is imported
to find out. `refuse_foreign_packages` raises ImportError with the path found, the path wanted and a command that mends.
"""

import shlex
import sys
import sysconfig
from importlib.metadata import packages_distributions
from importlib.util import find_spec
from pathlib import Path

HOME = Path(__file__).resolve().parent.parent
NEIGHBOURS = ("kernels", "quant", "reports")


def refuse_foreign_packages() -> None:
    """A neighbour that resolves elsewhere than beside parity raises; one that resolves nowhere fails when imported."""
    for name in NEIGHBOURS:
        found = where(name)
        if found is not None and found != HOME / name:
            raise ImportError(
                f"parity needs its own package {name!r} at {HOME / name}, but Python would import {found}, "
                f"which is somebody else's. {remedy(name, found)}",
                name=name,
                path=str(found),
            )


def where(name: str) -> Path | None:
    """The folder (or the one file) that `import name` would take, links resolved; None if there is none."""
    spec = find_spec(name)
    if spec is None:
        return None
    # A namespace package (a folder without __init__.py) has no origin, only the folders it is spread over.
    folders = list(spec.submodule_search_locations or ())
    return Path(folders[0] if folders else spec.origin or name).resolve()


def remedy(name: str, found: Path) -> str:
    """A sentence that ends in the shell command which mends this case, chosen by how the foreign folder got in.

    1. Python put the current or the script's folder first: the same command line with -P leaves that folder out.
    2. A package was installed under that name: it is uninstalled, or lives in an environment of its own.
    3. Anything else (PYTHONPATH, another editable install): our folder goes in front.
    """
    entry = found.parent
    command = shlex.join(sys.orig_argv[1:])
    if not sys.flags.safe_path and entry in (Path.cwd(), Path(sys.argv[0]).resolve().parent):
        return f"Leave {entry} off the import path: {shlex.quote(sys.executable)} -P {command}"
    if entry in {Path(sysconfig.get_path(scheme)).resolve() for scheme in ("purelib", "platlib")}:
        owners = " ".join(packages_distributions().get(name, [name]))
        return (
            f"Give it an environment of its own, or uninstall it here: "
            f"{shlex.quote(sys.executable)} -m pip uninstall --yes {owners}"
        )
    return (
        f"Put parity's own folder in front of {entry}: "
        f"PYTHONPATH={shlex.quote(str(HOME))} {shlex.quote(sys.executable)} {command}"
    )
