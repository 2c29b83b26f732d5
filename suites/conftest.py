"""Hypothesis' profiles are known before any suite is collected; what needs a GPU is skipped here and nowhere else."""

import pytest
import torch

from suites import profiles as profiles


def pytest_runtest_setup(item: pytest.Item) -> None:
    """A test marked gpu is unrun where there is no CUDA device, before its fixtures are made."""
    if item.get_closest_marker("gpu") is not None and not torch.cuda.is_available():
        pytest.skip("no CUDA device here")
