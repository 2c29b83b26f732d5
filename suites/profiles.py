"""How hypothesis draws: `ci` the same examples every time, `explore` others each time, remembering what it found.

pytest loads `ci`; `pytest -m nightly --hypothesis-profile explore suites/test_explore.py` looks for what nobody knows.
"""

from __future__ import annotations

import os
from pathlib import Path

from hypothesis import HealthCheck, Phase, settings
from hypothesis.database import DirectoryBasedExampleDatabase

CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "quant-parity" / "hypothesis"

# The first example pays for torch's own set-up, and machines are shared: time is no verdict on bits.
settings.register_profile("ci", derandomize=True, deadline=None, database=None)
settings.register_profile(
    "explore",
    derandomize=False,
    deadline=None,
    database=DirectoryBasedExampleDatabase(CACHE),
    max_examples=2000,
    phases=[phase for phase in Phase if phase is not Phase.explain],  # parity shrink and parity explain do that
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)
settings.load_profile("ci")
