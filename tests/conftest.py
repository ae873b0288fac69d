"""Every test runs on one thread and on the same examples each time, and takes no tolerance anywhere.

``pytest --hypothesis-profile=random`` looks for new examples.
"""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

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
