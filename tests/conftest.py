"""Every test runs on one thread and on the same examples each time, and takes no tolerance anywhere.

``pytest --hypothesis-profile=random`` looks for new examples.
"""

import collections
import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import pytest
import torch
from hypothesis import HealthCheck, settings

torch.set_num_threads(1)
settings.register_profile(
    "exact",
    deadline=None,
    derandomize=True,
    max_examples=25,
    suppress_health_check=[HealthCheck.too_slow],  # an example may build a graph and a session
)
settings.register_profile("random", settings.get_profile("exact"), derandomize=False, database=None)
settings.load_profile("exact")


@pytest.hookimpl(tryfirst=True)  # before -m chooses
def pytest_collection_modifyitems(items):
    """``one_in(n)``: of a test's cases, the first and every n-th after it run by default; the others are slow."""
    counts = collections.Counter()
    for item in items:
        if mark := item.get_closest_marker("one_in"):
            (n,) = mark.args
            if counts[item.originalname, item.path] % n:
                item.add_marker(pytest.mark.slow)
            counts[item.originalname, item.path] += 1
