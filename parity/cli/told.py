"""told(command) = the command, ended by its exit code, or by a sentence and the code of what went wrong."""

from __future__ import annotations

import os
from collections.abc import Callable
from errno import EDQUOT, EFBIG, EIO, ENOSPC
from functools import wraps
from typing import Final, ParamSpec

import typer

from parity.cli.terminal import warn
from parity.exit_codes import ExitCode
from parity.whole_file import StoreError

P = ParamSpec("P")

# What a disk says when it cannot go on: the command was right, and its work is not finished.
_DISK: Final = (ENOSPC, EDQUOT, EIO, EFBIG)

TRACEBACK: Final = "PARITY_TRACEBACK"


def told(command: Callable[P, ExitCode]) -> Callable[P, None]:
    """For typer: the same signature. No exception but typer's own leaves it, unless PARITY_TRACEBACK is set."""

    @wraps(command)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        try:
            code = command(*args, **kwargs)
        except KeyboardInterrupt:
            warn("stopped by Ctrl-C.")
            code = ExitCode.INTERRUPTED
        except Exception as error:
            if isinstance(error, typer.Exit | typer.BadParameter):
                raise
            code = failed(error)
            if os.environ.get(TRACEBACK):
                raise
        raise typer.Exit(code)

    return run


def failed(error: Exception) -> ExitCode:
    """Say what went wrong; what was asked for wrongly is USAGE, what could not be finished INCOMPLETE."""
    if _full(error):
        warn(f"{error} Finished records stay readable; make room and go on with --resume.")
        return ExitCode.INCOMPLETE
    if isinstance(error, ValueError | StoreError):
        warn(str(error))
        return ExitCode.USAGE
    if isinstance(error, MemoryError):
        warn(f"the memory is used up. {error}".strip())
        return ExitCode.INCOMPLETE
    if isinstance(error, OSError):
        warn(f"{error.filename or 'a file'}: {error.strerror or error}")
        return ExitCode.USAGE
    warn(f"an error of parity's own, {type(error).__name__}: {error}. {TRACEBACK}=1 shows where it was raised.")
    return ExitCode.INCOMPLETE


def _full(error: BaseException | None) -> bool:
    """Whether a disk that cannot go on is behind the error."""
    while error is not None:
        if isinstance(error, OSError) and error.errno in _DISK:
            return True
        error = error.__cause__
    return False
