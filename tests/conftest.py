"""Every test runs on one thread and on the same examples each time, and takes no tolerance anywhere."""

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
settings.load_profile("exact")
