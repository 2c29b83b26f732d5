"""One torch thread a worker, decided before torch is loaded."""

import os

# OpenMP reads this once, when torch is first imported; the thread count is an axis, never an accident of the machine.
os.environ.setdefault("OMP_NUM_THREADS", "1")
