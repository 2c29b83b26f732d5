"""`parity COMMAND`: one module a command; whatever is heavy is imported when its command runs."""

from parity.cli.app import main

__all__ = ["main"]
