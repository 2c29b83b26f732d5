"""Before torch is loaded: one thread a worker. Before options are read: parity's plugin, installed or not."""

import os
from importlib.metadata import entry_points

# OpenMP reads this once, when torch is first imported; the thread count is an axis, never an accident of the machine.
os.environ.setdefault("OMP_NUM_THREADS", "1")

_PLUGIN = "parity.pytest_plugin"
# An installed parity is registered by its entry point already, and pytest refuses to register a plugin twice.
pytest_plugins = [] if _PLUGIN in {point.value for point in entry_points(group="pytest11")} else [_PLUGIN]
